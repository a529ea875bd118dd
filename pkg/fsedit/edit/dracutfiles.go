package edit

import (
	"path"
	"regexp"
	"strings"
)

// An image that dracut made for one host waits for that host's devices before it
// goes on: dracut-lib.sh, wait_for_dev. A device that never comes costs minutes.

// hookDirs are where dracut has kept its hooks: before version 014, until 101, and
// from 102 on.
var hookDirs = []string{"usr/lib/dracut/hooks", "lib/dracut/hooks", "var/lib/dracut/hooks", "etc/dracut/hooks"}

var quotedDevice = regexp.MustCompile(`/dev/[^\s"'\\;]+`)

// waits has the image wait for devices by names that they have on the target, and
// no longer for those that are not there.
func (f *imageFiles) waits(n *names) error {
	rename := func(text []byte) []byte {
		return quotedDevice.ReplaceAllFunc(text, func(spec []byte) []byte {
			switch name := string(spec); {
			case !stale(name):
				return spec
			case n.known(name):
				return []byte(n.path(name))
			}
			return []byte("/dev/null") // which is always there
		})
	}
	seen := map[string]bool{}
	for _, dir := range hookDirs {
		for _, hook := range []string{"/initqueue/finished", "/emergency"} {
			for _, p := range f.below(dir + hook) {
				if seen[p] || !strings.HasSuffix(p, ".sh") {
					continue
				}
				seen[p] = true
				if err := f.edit(p, rename); err != nil {
					return err
				}
			}
		}
	}
	return f.deviceUnits()
}

// deviceUnits: systemd waits for the devices that a target wants. Nothing can be
// removed from an image, but a wait can be made short (systemd.unit(5)).
func (f *imageFiles) deviceUnits() error {
	const dir = "etc/systemd/system"
	for e := range f.image.Under(dir) {
		name := path.Base(e.Path)
		if !e.IsSymlink() || !strings.HasSuffix(path.Dir(e.Path), ".wants") || path.Ext(name) != ".device" || !stale(unitPath(name)) {
			continue
		}
		drop := dir + "/" + name + ".d/timeout.conf"
		if err := f.put(drop, []byte("[Unit]\nJobTimeoutSec=1\nJobRunningTimeoutSec=1\n")); err != nil {
			return err
		}
	}
	return nil
}

// unitPath is the path that a unit's name stands for (systemd.unit(5), "String
// escaping").
func unitPath(unit string) string {
	name := strings.ReplaceAll(strings.TrimSuffix(unit, path.Ext(unit)), "-", "/")
	return "/" + strings.ReplaceAll(name, `\x2d`, "-")
}
