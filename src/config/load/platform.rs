//! Presets: what stands before the node decides what is not written.
//!
//! One table for the words that are filled in, for the warnings of `check`, and for the documents. Every figure has
//! the document of the provider that it follows; `docs/operate/balancer.md` explains them.

use std::fmt::Write as _;

use farmgate_plugin_api::decode::Located;
use farmgate_plugin_api::units::Duration;

use crate::config::words::{Config, Platform};

/// What is filled in where nothing is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    /// For whom.
    pub platform: Platform,
    /// What it is.
    pub what: &'static str,
    /// After this long without a byte the balancer closes a connection, or forgets it.
    pub balancer_idle: Duration,
    /// `timeouts.keepalive` of every listener.
    pub keepalive: Duration,
    /// `health_path` of every listener.
    pub health_path: &'static str,
    /// `drain.lb_grace`.
    pub lb_grace: Duration,
    /// Where `lb_grace` comes from.
    pub noticed: &'static str,
    /// `drain.idle_grace`.
    pub idle_grace: Duration,
    /// `drain.deadline`.
    pub deadline: Duration,
    /// The documents.
    pub sources: &'static [&'static str],
}

const HEALTH: &str = "/farmgate/ready";

/// All of them. Without a balancer (`bare`) the defaults of the words hold.
pub const PRESETS: &[Preset] = &[
    Preset {
        platform: Platform::AwsAlb,
        what: "AWS Application Load Balancer",
        balancer_idle: Duration::from_secs(60),
        keepalive: Duration::from_secs(75),
        health_path: HEALTH,
        lb_grace: Duration::from_secs(65),
        noticed: "two checks that fail, one every 30 s, each within 5 s",
        idle_grace: Duration::from_secs(80),
        deadline: Duration::from_secs(300),
        sources: &[
            "https://docs.aws.amazon.com/elasticloadbalancing/latest/application/application-load-balancers.html",
            "https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html",
        ],
    },
    Preset {
        platform: Platform::AwsNlb,
        what: "AWS Network Load Balancer",
        balancer_idle: Duration::from_secs(350),
        keepalive: Duration::from_secs(360),
        health_path: HEALTH,
        lb_grace: Duration::from_secs(100),
        noticed: "up to three checks that fail, one every 30 s, each within 10 s",
        idle_grace: Duration::from_secs(365),
        deadline: Duration::from_secs(480),
        sources: &[
            "https://aws.amazon.com/blogs/networking-and-content-delivery/introducing-nlb-tcp-configurable-idle-timeout/",
            "https://docs.aws.amazon.com/elasticloadbalancing/latest/network/target-group-health-checks.html",
        ],
    },
    Preset {
        platform: Platform::Gcp,
        what: "Google Cloud Application Load Balancer",
        balancer_idle: Duration::from_secs(600),
        keepalive: Duration::from_secs(620),
        health_path: HEALTH,
        lb_grace: Duration::from_secs(20),
        noticed: "two checks that fail, one every 5 s, each within 5 s, and time for it to get about",
        idle_grace: Duration::from_secs(625),
        deadline: Duration::from_secs(660),
        sources: &[
            "https://cloud.google.com/load-balancing/docs/https#timeout-keepalive-backends",
            "https://cloud.google.com/sdk/gcloud/reference/compute/health-checks/create/http",
        ],
    },
    Preset {
        platform: Platform::Azure,
        what: "Azure Load Balancer",
        balancer_idle: Duration::from_secs(240),
        keepalive: Duration::from_secs(250),
        health_path: HEALTH,
        lb_grace: Duration::from_secs(20),
        noticed: "one answer that is not 200 is enough; probes up to 15 s apart",
        idle_grace: Duration::from_secs(255),
        deadline: Duration::from_secs(300),
        sources: &[
            "https://learn.microsoft.com/azure/load-balancer/load-balancer-tcp-idle-timeout",
            "https://learn.microsoft.com/azure/load-balancer/load-balancer-custom-probe-overview",
        ],
    },
];

/// The preset of a platform; none where nothing stands before the node.
pub fn preset(platform: Platform) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.platform == platform)
}

/// Fills in what is not written.
pub(super) fn apply(config: &mut Config) {
    let Some(preset) = preset(config.server.platform.value) else {
        return;
    };
    let drain = &mut config.server.drain.value;
    for (word, value) in [
        (&mut drain.lb_grace, preset.lb_grace),
        (&mut drain.idle_grace, preset.idle_grace),
        (&mut drain.deadline, preset.deadline),
    ] {
        fill(word, value);
    }
    for listener in &mut config.listeners {
        fill(&mut listener.timeouts.keepalive, preset.keepalive);
        if listener.health_path.is_none() {
            listener.health_path = Some(preset.health_path.to_owned().into());
        }
    }
}

fn fill(word: &mut Located<Duration>, value: Duration) {
    if !word.is_written() {
        word.value = value;
    }
}

/// The table as Markdown, for the generated reference.
pub fn presets_markdown() -> String {
    let mut out = String::from(
        "What `[server] platform` fills in where nothing is written; `bare` fills in nothing. Explained in\n\
         [Behind a load balancer](../operate/balancer.md).\n\n\
         | platform | what it is | its idle timeout | `keepalive` | `health_path` | `lb_grace` | `idle_grace` | `deadline` |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for one in PRESETS {
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {} | `{}` | {} | {} | {} |",
            one.platform,
            one.what,
            one.balancer_idle,
            one.keepalive,
            one.health_path,
            one.lb_grace,
            one.idle_grace,
            one.deadline
        );
    }
    out.push_str("\n## Where the figures come from\n\n");
    for one in PRESETS {
        let sources: Vec<String> = one.sources.iter().map(|url| format!("<{url}>")).collect();
        let _ = writeln!(
            out,
            "- `{}`, `lb_grace`: {}. {}",
            one.platform,
            one.noticed,
            sources.join(", ")
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load::load_str;

    /// Each order that `check` asks for, and that the provider asks for.
    #[test]
    fn presets_are_in_order() {
        for one in PRESETS {
            assert!(one.keepalive > one.balancer_idle, "{}", one.platform);
            assert!(one.idle_grace > one.keepalive, "{}", one.platform);
            let lb = one.lb_grace.get();
            assert!(!lb.is_zero(), "{}", one.platform);
            let drain = lb + one.idle_grace.get();
            assert!(drain <= one.deadline.get(), "{}", one.platform);
            assert!(one.sources.iter().all(|url| url.starts_with("https://")));
        }
    }

    #[test]
    fn what_is_written_stands() {
        let config = |platform: &str| {
            let text = format!(
                "[server]\nplatform = \"{platform}\"\ndrain = {{ deadline = \"500s\" }}\n\
                 [[listener]]\nname = \"a\"\naddress = \"127.0.0.1:1\"\ntimeouts = {{ keepalive = \"90s\" }}\n\
                 [[listener]]\nname = \"b\"\naddress = \"127.0.0.1:2\"\nhealth_path = \"/up\"\n"
            );
            load_str("t.toml", &text).unwrap().config
        };
        for preset in PRESETS {
            let config = config(&preset.platform.to_string());
            let drain = &config.server.drain.value;
            assert_eq!(*drain.deadline, Duration::from_secs(500));
            assert_eq!(*drain.lb_grace, preset.lb_grace);
            assert_eq!(*drain.idle_grace, preset.idle_grace);
            let [a, b] = &config.listeners[..] else {
                panic!("two listeners");
            };
            let path = |l: &crate::config::words::ListenerConfig| {
                l.health_path.as_ref().map(|path| path.value.clone())
            };
            assert_eq!(*a.timeouts.keepalive, Duration::from_secs(90));
            assert_eq!(path(a).as_deref(), Some(preset.health_path));
            assert_eq!(*b.timeouts.keepalive, preset.keepalive);
            assert_eq!(path(b).as_deref(), Some("/up"));
        }
        let bare = config("bare");
        assert_eq!(*bare.server.drain.lb_grace, Duration::from_secs(0));
        assert!(bare.listeners.iter().any(|l| l.health_path.is_none()));
    }
}
