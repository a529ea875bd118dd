package guest

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// mounting turns the entries of fstab into mounts.
type mounting struct {
	devices  *Devices
	root     *Filesystem // where the system was found
	mounts   []Mount
	swaps    []Mount
	warnings []string
}

// resolveFstab finds the volumes that fstab means, "/" first.
func resolveFstab(entries []fstabEntry, devices *Devices, root string) *mounting {
	m := &mounting{devices: devices, root: devices.get(root)}
	var open []fstabEntry // not resolved by name alone
	for _, e := range entries {
		if !e.onDisk() {
			continue
		}
		if id := m.byName(e); id != "" {
			m.add(e, id)
		} else {
			open = append(open, e)
		}
	}
	for _, e := range open {
		m.add(e, m.byPlace(e, open, entries))
	}
	m.order()
	return m
}

// byName is the one volume that a name means. Of copies the root itself counts.
func (m *mounting) byName(e fstabEntry) string {
	if e.spec == "/dev/root" {
		return m.root.Volume
	}
	ids := m.devices.Find(e.spec)
	switch {
	case len(ids) == 0:
		return ""
	case len(ids) == 1:
		return ids[0]
	case e.path == "/" && slices.Contains(ids, m.root.Volume):
		return m.root.Volume
	}
	m.warn(e, "%s is on several volumes: %v; the first is taken", e.spec, ids)
	return ids[0]
}

// byPlace finds the volume of a kernel name that does not fit the disks by
// counting: a hypervisor may attach an image as a partition ("xvda1" without an
// "xvda"), or count from "xvde". Only what leaves no choice is taken.
func (m *mounting) byPlace(e fstabEntry, open, all []fstabEntry) string {
	disk, partition, ok := diskPosition(e.spec)
	if !ok {
		return ""
	}
	if shift := shifted(all); shift > 0 {
		if ids := m.devices.at(disk-shift, partition); len(ids) == 1 {
			return ids[0]
		}
	}
	if e.path == "/" && m.root.Number == 0 {
		return m.root.Volume
	}
	bare := m.devices.where(func(f Filesystem) bool {
		return f.Number == 0 && f.Volume != m.root.Volume && (f.Type == "swap") == e.swap() && !m.taken(f.Volume)
	})
	rivals := 0
	for _, o := range open {
		if o.swap() == e.swap() && o.path != "/" {
			rivals++
		}
	}
	if len(bare) == 1 && rivals == 1 {
		return bare[0]
	}
	return ""
}

// shifted is 4 when every Xen name in fstab is xvde or later: what RHEL 6 calls
// the disks that the hypervisor calls sda and on.
func shifted(all []fstabEntry) int {
	const first = 4
	any := false
	for _, e := range all {
		disk, _, ok := diskPosition(e.spec)
		if !ok || len(e.spec) < 9 || e.spec[:8] != "/dev/xvd" {
			continue
		}
		if any = true; disk < first {
			return 0
		}
	}
	if any {
		return first
	}
	return 0
}

func (m *mounting) taken(id string) bool {
	is := func(o Mount) bool { return o.Volume == id }
	return slices.ContainsFunc(m.mounts, is) || slices.ContainsFunc(m.swaps, is)
}

func (m *mounting) warn(e fstabEntry, format string, args ...any) {
	m.warnings = append(m.warnings, fmt.Sprintf("fstab line %d: ", e.line)+fmt.Sprintf(format, args...))
}

func (m *mounting) add(e fstabEntry, id string) {
	out := Mount{Path: path.Clean(e.path), Volume: id, Spec: e.spec, Type: e.kind, Options: e.options, Line: e.line}
	if id == "" {
		m.warn(e, "%s is on none of the disks", e.spec)
	}
	if e.swap() {
		out.Path = "swap"
		m.swaps = append(m.swaps, out)
		return
	}
	if i := slices.IndexFunc(m.mounts, func(o Mount) bool { return o.Path == out.Path }); i >= 0 {
		m.warn(e, "%s is already mounted by line %d", out.Path, m.mounts[i].Line)
		return
	}
	m.mounts = append(m.mounts, out)
}

// order puts "/" first and makes it the volume that the system was found on.
func (m *mounting) order() {
	byLine := func(a, b Mount) int { return a.Line - b.Line }
	slices.SortStableFunc(m.mounts, byLine)
	slices.SortStableFunc(m.swaps, byLine)
	root := Mount{Path: "/", Volume: m.root.Volume, Type: m.root.Type}
	if i := slices.IndexFunc(m.mounts, func(o Mount) bool { return o.Path == "/" }); i >= 0 {
		root = m.mounts[i]
		m.mounts = slices.Delete(m.mounts, i, i+1)
		if root.Volume != "" && root.Volume != m.root.Volume {
			m.warn(fstabEntry{line: root.Line}, "%s names %s as the root, the system is on %s", root.Spec, root.Volume, m.root.Volume)
		}
		root.Volume = m.root.Volume
	}
	m.mounts = slices.Insert(m.mounts, 0, root)
}

// expected reports whether a system does not start without the mount.
func (m Mount) expected() bool {
	options := strings.Split(m.Options, ",")
	return !slices.Contains(options, "noauto") && !slices.Contains(options, "nofail")
}
