//! Where the process stands among the control groups (cgroups(7)), and what limits it there.

use std::fs::read_to_string;
use std::path::{Path, PathBuf};

/// Groups from our own to the top that are asked; the kernel nests no deeper by default than a few.
const DEPTH: usize = 64;

/// The folders of our group and those above it, for one controller.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Groups {
    /// True where the unified hierarchy has the controller.
    pub(super) is_v2: bool,
    /// Our own first.
    folders: Vec<PathBuf>,
}

impl Groups {
    /// Of this process, now. Empty where there are none.
    pub(super) fn find(controller: &str) -> Self {
        let read = |path: &str| read_to_string(path).unwrap_or_default();
        Self::parse(
            controller,
            &read("/proc/self/cgroup"),
            &read("/proc/self/mountinfo"),
        )
    }

    /// Out of `/proc/self/cgroup` and `/proc/self/mountinfo`.
    pub(super) fn parse(controller: &str, cgroup: &str, mountinfo: &str) -> Self {
        // In a mixed set-up the controller is in one of the two: where version 1 has it, it is there.
        if let Some(path) = group(cgroup, Some(controller))
            && let Some(folders) = folders(path, &mounts(mountinfo, Some(controller)))
        {
            return Self {
                is_v2: false,
                folders,
            };
        }
        let folders = group(cgroup, None).and_then(|path| folders(path, &mounts(mountinfo, None)));
        Self {
            is_v2: true,
            folders: folders.unwrap_or_default(),
        }
    }

    /// The least of what `limit` finds in a group: every group above ours limits us too.
    pub(super) fn least(&self, limit: impl Fn(&Path) -> Option<f64>) -> Option<f64> {
        self.folders
            .iter()
            .filter_map(|folder| limit(folder))
            .reduce(f64::min)
    }
}

/// The group's path in the hierarchy of `controller`, or in the unified one.
fn group<'a>(cgroup: &'a str, controller: Option<&str>) -> Option<&'a str> {
    cgroup.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (id, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let found = match controller {
            Some(controller) => controllers.split(',').any(|name| name == controller),
            None => id == "0" && controllers.is_empty(),
        };
        found.then_some(path)
    })
}

/// Where a hierarchy is mounted: the group at the mount's root, and its folder.
fn mounts<'a>(mountinfo: &'a str, controller: Option<&str>) -> Vec<(&'a str, &'a str)> {
    let found = mountinfo.lines().filter_map(|line| {
        let (mount, system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let (root, folder) = (mount.next()?, mount.next()?);
        let mut system = system.split(' ');
        let (kind, options) = (system.next()?, system.nth(1)?);
        let found = match controller {
            Some(name) => kind == "cgroup" && options.split(',').any(|option| option == name),
            None => kind == "cgroup2",
        };
        found.then_some((root, folder))
    });
    found.collect()
}

fn folders(path: &str, mounts: &[(&str, &str)]) -> Option<Vec<PathBuf>> {
    let below = |root: &str| Path::new(path).strip_prefix(root).ok();
    let (rest, mount) = mounts
        .iter()
        .find_map(|(root, mount)| Some((below(root)?, *mount)))
        // In a container without a namespace for groups the path is the host's, and the mount shows ours alone.
        .or_else(|| mounts.first().map(|(_, mount)| (Path::new(""), *mount)))?;
    // "/../x": seen from another namespace; there is no such folder here.
    let is_ours = rest.components().all(|part| part.as_os_str() != "..");
    let rest = if is_ours { rest } else { Path::new("") };
    let own: PathBuf = Path::new(mount)
        .components()
        .chain(rest.components())
        .collect();
    let up = own
        .ancestors()
        .take_while(|folder| folder.starts_with(mount));
    Some(up.take(DEPTH).map(Path::to_owned).collect())
}

/// A file with one number; none where it is missing or says "max".
pub(super) fn number(folder: &Path, file: &str) -> Option<f64> {
    parse_number(&read_to_string(folder.join(file)).ok()?)
}

pub(super) fn parse_number(text: &str) -> Option<f64> {
    text.trim()
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite())
}
