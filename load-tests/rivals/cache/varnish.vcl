# A cache in memory (malloc,256m on the command line), with Varnish's own rules and the defaults of Debian's package.
# It writes no line into a log file: it puts records into shared memory, and varnishncsa, another process, would make
# lines of them. The others write a line each; this favours Varnish. X-Varnish and Age say hit or miss.
vcl 4.1;

backend app {
    .host = "${ORIGIN_HOST}";
    .port = "${ORIGIN_PORT}";
}
