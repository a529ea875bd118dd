//go:build guests && linux

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/vmconv/vmconv/pkg/convert"
	"github.com/vmconv/vmconv/pkg/fsedit/edit"
	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// server is a guest that is laid out as servers are, over several filesystems.
type server struct {
	name    string
	disks   int
	volumes []guestVolume
	convert []string // arguments besides disks and output
	start   []string // arguments of scripts/boot
	want    []string // in the guest's report
	grub    string   // GRUB's name for what holds /boot
	boot    string   // the folder that is mounted there
}

// guestVolume is a filesystem where scripts/guest/servers.sh puts it, in MiB.
type guestVolume struct {
	mount       string
	check       string // the program that judges it
	disk        int
	start, size int64
	key         string // of the LUKS2 that it is in
}

// luksHeader is the room that LUKS2 takes before what it encrypts, most of it
// random, in bytes.
const luksHeader = 32 << 20

// The layouts, by the initramfs generator each guest comes with.
var (
	lvmXFS = server{
		disks:   1,
		volumes: []guestVolume{{mount: "/boot", check: "e2fsck", start: 1, size: 256}, {mount: "/", check: "xfs_repair", start: 258, size: 2560}},
		want:    []string{"root=/dev/mapper/vg-root", "fstype=xfs", "mounts=/boot:/dev/vda1:ext4,", "swap=/dev/dm-"},
		grub:    "(loop0,msdos1)", boot: "/boot",
	}
	uefi = server{
		disks:   1,
		volumes: []guestVolume{{mount: "/boot/efi", check: "fsck.fat", start: 1, size: 100}, {mount: "/", check: "xfs_repair", start: 101, size: 4096 - 102}},
		start:   []string{"--firmware", "uefi"},
		want:    []string{"firmware=uefi", "root=/dev/vda2", "fstype=xfs", "mounts=/boot/efi:/dev/vda1:vfat,"},
		grub:    "(loop0,gpt2)",
	}
	twoDisks = server{
		disks:   2,
		volumes: []guestVolume{{mount: "/", check: "e2fsck", start: 2, size: 2560}, {mount: "/var", check: "xfs_repair", disk: 1, start: 1, size: 1023}},
		want:    []string{"root=/dev/mapper/vg-root", "fstype=ext4", "mounts=/var:/dev/vdb1:xfs,"},
		grub:    "(lvm/vg-root)",
	}
	encrypted = server{
		disks:   1,
		volumes: []guestVolume{{mount: "/boot", check: "e2fsck", start: 1, size: 256}, {mount: "/", check: "e2fsck", start: 257, size: 1152, key: "guest"}},
		convert: []string{"--key", "/dev/sda2:key:guest"},
		start:   []string{"--type", "unlock disk=guest"},
		want:    []string{"root=/dev/mapper/xvda2_crypt", "fstype=ext4", "mounts=/boot:/dev/vda1:ext4,"},
		grub:    "(loop0,msdos1)", boot: "/boot",
	}
)

func servers() []server {
	return []server{
		lvmXFS.named("lvmxfs"), uefi.named("uefi"), twoDisks.named("twodisks"), encrypted.named("luks"),
		lvmXFS.named("lvmxfs-dracut"), twoDisks.named("twodisks-dracut"),
	}
}

// TestGuestConvertServer converts guests with LVM, XFS, LUKS, UEFI and a second
// disk, checks every filesystem of the outputs, and starts them.
func TestGuestConvertServer(t *testing.T) {
	testtool.Need(t, "qemu-img", "qemu-system-x86_64", "e2fsck", "xfs_repair", "fsck.fat", "mcopy", "cryptsetup", "grub-fstest")
	for _, g := range servers() {
		t.Run(g.name, func(t *testing.T) {
			sources := g.sources(t)
			var before []string
			for _, s := range sources {
				before = append(before, stamp(t, s))
			}
			outputs, report := g.to(t, sources)
			for i, s := range sources {
				if after := stamp(t, s); after != before[i] {
					t.Errorf("a source was changed: %s, then %s", before[i], after)
				}
			}
			g.checkDescription(t, strings.TrimSuffix(outputs[0], ".qcow2")+".xml")
			g.checkFiles(t, sources, outputs, report)

			args := append([]string{outputs[0], "--write"}, g.start...)
			for _, o := range outputs[1:] {
				args = append(args, "--disk", o)
			}
			checkReport(t, boot(t, args...), g.want)
		})
	}
}

func (g server) named(name string) server {
	g.name = name
	return g
}

// TestGuestAgainServer converts what was converted: nothing is left to change, and
// the copies have the same bytes.
func TestGuestAgainServer(t *testing.T) {
	for _, g := range servers() {
		t.Run(g.name, func(t *testing.T) {
			first, _ := g.to(t, g.sources(t))
			second, r := g.to(t, first)
			if len(r.Changes) > 0 {
				t.Errorf("changed again: %v", r.Changes)
			}
			for i := range first {
				testtool.Run(t, "cmp", first[i], second[i])
			}
		})
	}
}

// TestGuestServerInPlace wants a disk that is changed where it lies to become what
// its copy becomes.
func TestGuestServerInPlace(t *testing.T) {
	for _, g := range []server{lvmXFS.named("lvmxfs"), uefi.named("uefi"), encrypted.named("luks")} {
		t.Run(g.name, func(t *testing.T) {
			src := guestImage(t, g.name)
			img, copied := fsedittest.CopyImage(t, src), filepath.Join(t.TempDir(), "copied.img")
			convertGuest(t, append([]string{"--in-place", img, "-f", "raw", "--to", "kvm"}, g.convert...)...)
			convertGuest(t, append([]string{src, "--keep-free", "--to", "kvm", "-o", copied}, g.convert...)...)
			testtool.Run(t, "cmp", img, copied)
		})
	}
}

// to converts the guest for KVM, and names the disks that came out.
func (g server) to(t *testing.T, sources []string) ([]string, convert.Report) {
	t.Helper()
	stem := filepath.Join(t.TempDir(), g.name)
	args := append([]string{"--to", "kvm", "-o", stem + ".qcow2"}, g.convert...)
	outputs := []string{stem + ".qcow2"}
	for i, s := range sources {
		args = append(args, "-a", s)
		if i > 0 {
			outputs = append(outputs, stem+"-"+strconv.Itoa(i+1)+".qcow2")
		}
	}
	return outputs, convertGuest(t, args...)
}

func (g server) sources(t *testing.T) []string {
	first := guestImage(t, g.name)
	if g.disks == 1 {
		return []string{first}
	}
	return []string{first, first + "2"}
}

// checkDescription wants libvirt to know what is written, and the firmware that
// the guest needs to be named there.
func (g server) checkDescription(t *testing.T, file string) {
	t.Helper()
	testtool.Run(t, "virt-xml-validate", file, "domain")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if efi := bytes.Contains(text, []byte(`<os firmware="efi">`)); efi != slices.Contains(g.want, "firmware=uefi") {
		t.Errorf("UEFI firmware in the description: %v", efi)
	}
}

// checkFiles compares sources and outputs by the files of every filesystem, and
// by their size.
func (g server) checkFiles(t *testing.T, sources, outputs []string, r convert.Report) {
	var raws []string
	var live, allocated int64
	for _, out := range outputs {
		testtool.Run(t, "qemu-img", "check", out)
		raw := filepath.Join(t.TempDir(), "disk.raw")
		testtool.Run(t, "qemu-img", "convert", "-O", "raw", out, raw)
		raws = append(raws, raw)
		var st syscall.Stat_t
		if err := syscall.Stat(out, &st); err != nil {
			t.Fatal(err)
		}
		allocated += st.Blocks * 512
	}
	for i, v := range g.volumes {
		t.Run(strings.ReplaceAll("on "+v.mount, "/", "."), func(t *testing.T) {
			old, changed := v.extract(t, sources[v.disk]), v.extract(t, raws[v.disk])
			live += v.compare(t, old, changed, g.declared(i, r))
			if v.key != "" {
				live += luksHeader
			}
		})
	}
	g.checkGRUB(t, raws, r)
	t.Logf("%d MiB allocated for %d MiB of live data", allocated>>20, live>>20)
	if float64(allocated) > 1.10*float64(live) {
		t.Errorf("%d MiB allocated, more than 1.10 of the guest's %d MiB of live data", allocated>>20, live>>20)
	}
}

// declared are the changes on one of the filesystems, by their paths there.
func (g server) declared(volume int, r convert.Report) []convert.ChangeReport {
	var out []convert.ChangeReport
	for _, c := range r.Changes {
		at := -1
		for i, v := range g.volumes {
			if inFolder(c.Path, v.mount) && (at < 0 || len(v.mount) > len(g.volumes[at].mount)) {
				at = i
			}
		}
		if at == volume {
			c.Path = "/" + strings.TrimPrefix(strings.TrimPrefix(c.Path, g.volumes[at].mount), "/")
			out = append(out, c)
		}
	}
	return out
}

func inFolder(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, strings.TrimSuffix(folder, "/")+"/")
}

// extract copies the filesystem out of a raw disk, decrypted by cryptsetup.
func (v guestVolume) extract(t *testing.T, raw string) string {
	t.Helper()
	dir := t.TempDir()
	part := filepath.Join(dir, "part.raw")
	testtool.Run(t, "dd", "if="+raw, "of="+part, "bs=1M", "conv=sparse", "status=none",
		"skip="+strconv.FormatInt(v.start, 10), "count="+strconv.FormatInt(v.size, 10))
	if err := os.Truncate(part, v.size<<20); err != nil { // its end may be a hole
		t.Fatal(err)
	}
	if v.key == "" {
		return part
	}
	key := filepath.Join(dir, "key")
	if err := os.WriteFile(key, []byte(v.key), 0o600); err != nil {
		t.Fatal(err)
	}
	testtool.Run(t, "cryptsetup", "-q", "reencrypt", "--decrypt", "--force-offline-reencrypt", "--header", filepath.Join(dir, "header"), "--key-file", key, part)
	return part
}

// compare lets the filesystem's own checker judge the changed one, and wants
// nothing but the declared changes. It returns the bytes in use of the old one.
func (v guestVolume) compare(t *testing.T, old, changed string, declared []convert.ChangeReport) int64 {
	t.Helper()
	testtool.Run(t, v.check, map[string]string{"e2fsck": "-fn", "xfs_repair": "-n", "fsck.fat": "-n"}[v.check], changed)
	if v.check == "fsck.fat" {
		want, got := fatTree(t, old), fatTree(t, changed)
		for _, c := range declared {
			declare(t, want, got, c)
		}
		fsedittest.Compare(t, want, got, fsedittest.Ignore{Blocks: true})
		return 0
	}
	var options string
	if v.check == "xfs_repair" {
		options = "nouuid"
	}
	oldDir, unmountOld := fsedittest.Mount(t, old, options)
	defer unmountOld()
	newDir, unmountNew := fsedittest.Mount(t, changed, strings.Trim("ro,"+options, ","))
	defer unmountNew()
	want, got := fsedittest.ReadHost(t, oldDir), fsedittest.ReadHost(t, newDir)
	for _, c := range declared {
		declare(t, want, got, c)
	}
	fsedittest.Compare(t, want, got, fsedittest.Ignore{Blocks: true})
	var st syscall.Statfs_t
	if err := syscall.Statfs(oldDir, &st); err != nil {
		t.Fatal(err)
	}
	return int64(st.Blocks-st.Bfree) * st.Bsize
}

// fatTree are the files of a FAT filesystem, which the kernels that test need not
// know: without times, as the folders get new ones.
func fatTree(t *testing.T, image string) fsedittest.Tree {
	t.Helper()
	dir := t.TempDir()
	testtool.Run(t, "mcopy", "-s", "-i", image, "::", dir)
	tree := fsedittest.ReadHost(t, dir)
	for p, e := range tree {
		e.Mtime, e.MtimeSec = 0, 0
		tree[p] = e
	}
	return tree
}

// checkGRUB wants GRUB's own drivers to read what changed of its files, the
// configuration and the initramfs, as vmconv does.
func (g server) checkGRUB(t *testing.T, raws []string, r convert.Report) {
	t.Helper()
	read := 0
	for _, c := range r.Changes {
		if c.Kind != edit.Modify || !inFolder(c.Path, "/boot") || inFolder(c.Path, "/boot/efi") {
			continue
		}
		args := append([]string{"cat", c.Path}, g.convert...)
		for _, raw := range raws {
			args = append(args, "-a", raw)
		}
		want, err := exec.Command(mustEnv(t, "VMCONV"), args...).Output()
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		got, err := exec.Command("grub-fstest", raws[0], "cat", g.grub+strings.TrimPrefix(c.Path, g.boot)).Output()
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("GRUB reads %d bytes of %s (%v), not the %d that are there", len(got), c.Path, err, len(want))
		}
		read++
	}
	if read < 2 {
		t.Errorf("%d files of GRUB changed, want at least grub.cfg and the initramfs", read)
	}
}
