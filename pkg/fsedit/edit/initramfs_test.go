package edit

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// hostKernel is the kernel that Debian's linux-image-amd64 brought to this machine.
func hostKernel(t *testing.T) guest.Kernel {
	t.Helper()
	found, _ := filepath.Glob("/lib/modules/*-amd64")
	if len(found) == 0 {
		t.Fatal("this test needs a kernel: run scripts/setup, or install the Debian package linux-image-amd64")
	}
	version := filepath.Base(found[0])
	return guest.Kernel{
		Version: version, Modules: "/usr/lib/modules/" + version, Default: true,
		Image: "/boot/vmlinuz-" + version, Initramfs: "/boot/initrd.img-" + version,
	}
}

// makeInitramfs makes an image as mkinitramfs does with MODULES=list, which takes
// it half a minute: drivers of Xen, and a swap device of the source.
func makeInitramfs(t *testing.T, version string) string {
	t.Helper()
	testtool.Need(t, "cpio", "modprobe", "depmod", "zstd")
	tree := folder(t.TempDir())
	tree.put(t, "lib -> usr/lib", "")
	tree.put(t, "init", "#!/bin/sh\n")
	tree.put(t, "scripts/functions", "load_modules()\n")
	tree.put(t, "conf/initramfs.conf", "MODULES=list\n")
	tree.put(t, "conf/modules", "xen-blkfront\next4\n")
	tree.put(t, "conf/conf.d/resume", "RESUME=/dev/xvda2\n")
	tree.put(t, "usr/lib/udev/rules.d/80-net-setup-link.rules", "")
	tree.put(t, "usr/lib/systemd/network/99-default.link", "[Link]\nNamePolicy=path\n")
	for _, module := range []string{"xen-blkfront", "ext4"} {
		for line := range strings.Lines(testtool.Run(t, "modprobe", "-S", version, "--show-depends", module)) {
			if p, ok := strings.CutPrefix(strings.TrimSpace(line), "insmod "); ok {
				content, err := os.ReadFile(p)
				must(t, err)
				name := strings.TrimPrefix(p, "/usr")
				if !guest.Exists(NewStaged(tree), "/usr"+name) {
					tree.put(t, "usr"+name, string(content))
				}
			}
		}
	}
	for _, name := range []string{"modules.builtin", "modules.builtin.modinfo", "modules.order"} {
		content, err := os.ReadFile("/lib/modules/" + version + "/" + name)
		must(t, err)
		tree.put(t, "usr/lib/modules/"+version+"/"+name, string(content))
	}
	testtool.Run(t, "depmod", "-b", string(tree), version)
	out := filepath.Join(t.TempDir(), "initrd.img")
	testtool.Run(t, "sh", "-c", "cd "+string(tree)+" && find . | sort | cpio -o -H newc --quiet | zstd -q > "+out)
	return out
}

func xenFacts(k guest.Kernel) *guest.Facts {
	return &guest.Facts{
		Root:        "sda1",
		OS:          guest.OS{Type: "linux", Distro: "debian", Family: "debian", Arch: "x86_64"},
		Kernels:     []guest.Kernel{k},
		Filesystems: []guest.Filesystem{{Volume: "sda1", Number: 1, Type: "ext4", UUID: "11111111-2222-3333-4444-555555555555"}, {Volume: "sda2", Number: 2, Type: "swap", UUID: "swap-uuid"}},
		NICs:        []guest.NIC{{Name: "eth0", Source: "/etc/network/interfaces"}},
	}
}

// The tree under the edit is this machine's own, which is only read.
func TestInitramfs(t *testing.T) {
	k := hostKernel(t)
	k.Initramfs = makeInitramfs(t, k.Version)
	base, err := os.ReadFile(k.Initramfs)
	must(t, err)
	t.Run("zstd", func(t *testing.T) { convertImage(t, k, base) })
	testtool.Need(t, "zstd", "lz4")
	lz4 := k.Initramfs + ".lz4"
	testtool.Run(t, "sh", "-c", "zstd -qdc "+k.Initramfs+" | lz4 -lc > "+lz4)
	base, err = os.ReadFile(lz4)
	must(t, err)
	t.Run("lz4", func(t *testing.T) { convertImage(t, k, base) })
}

func convertImage(t *testing.T, k guest.Kernel, base []byte) {
	k.Initramfs = filepath.Join(t.TempDir(), "initrd.img")
	must(t, os.WriteFile(k.Initramfs, base, 0o644))
	job := Job{Facts: xenFacts(k), Needs: kvm()}
	changed := planImage(t, job)
	if !bytes.HasPrefix(changed, base) {
		t.Fatal("the base is not kept")
	}
	dir := unpack(t, base, changed[len(base):])
	judge(t, dir, k.Version)
	if text, err := os.ReadFile(filepath.Join(dir, "conf/modules")); err != nil || !bytes.Contains(text, []byte("virtio_blk\n")) {
		t.Errorf("conf/modules: %v\n%s", err, text)
	}
	must(t, os.WriteFile(k.Initramfs, changed, 0o644))
	if again := planImage(t, job); again != nil {
		t.Error("a second run changes it again")
	}
	job.Needs.Drivers = []Driver{{Module: "nvme", Required: true}}
	both := planImage(t, job)
	dir = unpack(t, base, both[len(base):])
	judge(t, dir, k.Version)
	testtool.Run(t, "modprobe", "-d", dir, "-S", k.Version, "--show-depends", "nvme")
}

// planImage is the new content of the initramfs; nil for no change.
func planImage(t *testing.T, job Job) []byte {
	t.Helper()
	s := NewStaged(folder("/"))
	must(t, network{}.Plan(t.Context(), s, job))
	must(t, initramfsEdit{}.Plan(t.Context(), s, job))
	changes, err := s.Changes()
	must(t, err)
	for _, c := range changes {
		if c.Path == job.Facts.Kernels[0].Initramfs {
			out, err := readAll(c.Content)
			must(t, err)
			return out
		}
	}
	return nil
}

// unpack lays the segment over what the base unpacks to, as the kernel does.
func unpack(t *testing.T, base, tail []byte) string {
	t.Helper()
	top := t.TempDir()
	must(t, os.WriteFile(filepath.Join(top, "base"), base, 0o644))
	dir := filepath.Join(top, "tree")
	testtool.Run(t, "unmkinitramfs", filepath.Join(top, "base"), dir)
	cmd := exec.Command("cpio", "-idu", "--quiet")
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(bytes.TrimLeft(tail, "\x00"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cpio: %v\n%s", err, out)
	}
	return dir
}

// judge asks kmod, by its binary indexes, for the drivers and for the devices.
func judge(t *testing.T, dir, version string) {
	t.Helper()
	for _, name := range []string{
		"virtio_blk", "virtio_pci", "virtio_net", "xen_blkfront", "ext4",
		"pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00", "virtio:d00000002v00001AF4",
	} {
		out := testtool.Run(t, "modprobe", "-d", dir, "-S", version, "--show-depends", name)
		for _, word := range strings.Fields(out) {
			if strings.HasPrefix(word, "/") {
				if _, err := os.Stat(word); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "usr/lib/modules", version)); err != nil {
		t.Error(err)
	}
	if target, err := os.Readlink(filepath.Join(dir, "lib")); err != nil || target != "usr/lib" {
		t.Errorf("lib leads to %q: %v", target, err)
	}
	for name, want := range map[string]string{
		"conf/conf.d/resume":                          "RESUME=UUID=swap-uuid\n",
		"usr/lib/systemd/network/70-vmconv-eth0.link": "Name=eth0\n",
	} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
}

func TestGenericInitramfsStays(t *testing.T) {
	k := hostKernel(t)
	facts := xenFacts(k)
	facts.NICs = nil
	if planImage(t, Job{Facts: facts, Needs: kvm()}) != nil {
		t.Error("an initramfs with all drivers is changed")
	}
}

func TestNoKernelForTheTarget(t *testing.T) {
	k := hostKernel(t)
	k.XenOnly = true
	s := NewStaged(folder("/"))
	err := initramfsEdit{}.Plan(t.Context(), s, Job{Facts: xenFacts(k), Needs: kvm()})
	if err == nil || !strings.Contains(err.Error(), "linux-image-amd64") || len(s.Warnings()) != 1 {
		t.Errorf("error %v, warnings %v", err, s.Warnings())
	}
	k.XenOnly = false
	needs := kvm()
	needs.Drivers = append(needs.Drivers, Driver{Module: "no_such", Required: true, Why: "a test"})
	err = initramfsEdit{}.Plan(t.Context(), NewStaged(folder("/")), Job{Facts: xenFacts(k), Needs: needs})
	if err == nil || !strings.Contains(err.Error(), "no_such") {
		t.Errorf("a missing driver: %v", err)
	}
}
