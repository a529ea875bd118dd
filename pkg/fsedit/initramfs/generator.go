package initramfs

import (
	"bytes"
	"path"
	"strings"
)

// Kind is the program that made an initramfs.
type Kind string

const (
	InitramfsTools Kind = "initramfs-tools"
	Dracut         Kind = "dracut"
	Mkinitcpio     Kind = "mkinitcpio"
	MkinitrdNash   Kind = "mkinitrd (nash)"
	MkinitrdSUSE   Kind = "mkinitrd (SUSE)"
	Linuxrc        Kind = "linuxrc"
	Mkinitfs       Kind = "mkinitfs"
	Booster        Kind = "booster"
	Genkernel      Kind = "genkernel"
	MakeInitrd     Kind = "make-initrd"
	TinyInitramfs  Kind = "tiny-initramfs"
	NixOS          Kind = "nixos"
	Busybox        Kind = "busybox" // nobody known, with a busybox in it
	Unknown        Kind = "unknown"
)

// Generator is what made an initramfs, told by what is in it and not by the
// distribution around it, and what runs inside.
type Generator struct {
	Kind    Kind
	Systemd bool // systemd is the first process
	Udev    bool // devices are found by udev, which loads modules by alias
}

// maxScript is the size up to which an init counts as a script to be searched.
const maxScript = 256 << 10

// evidence reports the few files whose content is always kept: what tells the
// generator, and our marker.
func evidence(name string, size int64) bool {
	return size <= maxScript && (name == "init" || name == "linuxrc" || path.Base(name) == path.Base(markerPath))
}

// kinds are tried in order: the specific before the ones that share its files.
var kinds = []struct {
	kind Kind
	test func(m *Image, init []byte) bool
}{
	{Booster, func(m *Image, _ []byte) bool { return m.any("etc/booster.init.yaml") }},
	{InitramfsTools, func(m *Image, _ []byte) bool {
		return m.any("scripts/functions") && m.any("conf/initramfs.conf", "conf/arch.conf")
	}},
	{Dracut, isDracut},
	{Mkinitcpio, func(m *Image, _ []byte) bool {
		return m.any("init_functions") && m.any("config", "buildconfig") || m.any("buildconfig") && m.any("etc/initrd-release")
	}},
	{Mkinitfs, func(m *Image, init []byte) bool {
		return bytes.Contains(init, []byte("nlplug-findfs")) || m.any("sbin/nlplug-findfs")
	}},
	{MkinitrdNash, func(m *Image, init []byte) bool { return bytes.HasPrefix(init, []byte("#!/bin/nash")) }},
	{MkinitrdSUSE, func(m *Image, _ []byte) bool { return m.any("run_all.sh", "mkinitrd.config") }},
	{Genkernel, func(m *Image, _ []byte) bool { return m.any("etc/initrd.defaults") && m.any("etc/initrd.scripts") }},
	{MakeInitrd, func(m *Image, _ []byte) bool { return m.any("lib/initrd", "etc/initrd") }},
	{NixOS, func(m *Image, _ []byte) bool { return m.any("nix/store") }},
	{TinyInitramfs, func(m *Image, init []byte) bool {
		return m.any("bin/tiny_initramfs") || m.any("modules") && !bytes.HasPrefix(init, []byte("#!")) && !m.any("bin")
	}},
	{Linuxrc, func(m *Image, _ []byte) bool { return m.any("linuxrc") && !m.any("init") }},
	{Busybox, func(m *Image, _ []byte) bool { return m.any("bin/busybox", "sbin/busybox", "usr/bin/busybox") }},
}

// isDracut knows the directories of every version: hooks lay at the top before
// 009, and a file named after the version in the root up to 2013.
func isDracut(m *Image, _ []byte) bool {
	if m.any("usr/lib/dracut", "lib/dracut", "dracut-state.sh", "var/lib/dracut") {
		return true
	}
	if m.any("pre-udev") && m.any("cmdline") {
		return true
	}
	for e := range m.Entries() {
		if strings.HasPrefix(e.Path, "dracut-") && !strings.Contains(e.Path, "/") {
			return true
		}
	}
	return false
}

// Generator recognises what made the image.
func (m *Image) Generator() Generator {
	g := Generator{Kind: Unknown}
	var init []byte
	if e, ok := m.Lookup("init"); ok {
		g.Systemd = strings.HasSuffix(e.Path, "systemd/systemd")
		init = e.node.data
	}
	g.Udev = m.any("lib/systemd/systemd-udevd", "sbin/udevd", "usr/lib/systemd/systemd-udevd", "lib/udev/udevd", "bin/udevadm", "sbin/udevadm")
	for _, k := range kinds {
		if k.test(m, init) {
			g.Kind = k.kind
			break
		}
	}
	return g
}

func (m *Image) any(paths ...string) bool {
	for _, p := range paths {
		if _, ok := m.Lookup(p); ok {
			return true
		}
	}
	return false
}
