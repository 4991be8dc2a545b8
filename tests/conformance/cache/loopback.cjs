// Preloaded into the suite's origin, which listens on every interface: only loopback is asked for here.
'use strict'
const net = require('net')
const listen = net.Server.prototype.listen
net.Server.prototype.listen = function (port, ...rest) {
  const named = typeof port === 'object' || typeof rest[0] === 'string'
  return named ? listen.call(this, port, ...rest) : listen.call(this, port, '127.0.0.1', ...rest)
}
