//go:build linux

package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// TestImageNamesHostFile has images whose data is said to lie in a file of this
// host: no byte of it comes out.
func TestImageNamesHostFile(t *testing.T) {
	testtool.Need(t, "qemu-img")
	dir := t.TempDir()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	flat := filepath.Join(dir, "flat.vmdk")
	descriptor := "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\nRW 2048 FLAT \"%s\" 0\n"
	writeHostFile(t, flat, fmt.Sprintf(descriptor, secret))
	climbing := filepath.Join(dir, "climbing.vmdk")
	writeHostFile(t, climbing, fmt.Sprintf(descriptor, "../"+filepath.Base(filepath.Dir(secret))+"/secret"))
	backed := filepath.Join(dir, "backed.qcow2")
	testtool.Run(t, "qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", secret, "-F", "raw", backed, "1M")
	domain := filepath.Join(dir, "domain.xml")
	writeHostFile(t, domain, "<domain type='kvm'><name>x</name><devices><disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='"+secret+"'/><target dev='vda' bus='virtio'/></disk></devices></domain>")
	for _, image := range []string{flat, climbing, backed, domain} {
		out := filepath.Join(dir, "out.raw")
		bounded(t, image, []string{"convert", image, "-O", "raw", "-o", out}, 3)
		bounded(t, image, []string{"info", image}, 0)
		bounded(t, image, []string{"inspect", image}, 3)
		if _, err := os.Lstat(out); err == nil {
			t.Errorf("%s: an output was left", image)
		}
	}
	bounded(t, "permitted", []string{"convert", "--allow-external", flat, "-O", "raw", "-o", filepath.Join(dir, "permitted.raw")}, 0)
}

// TestParentCycle has two disks that are each other's parent.
func TestParentCycle(t *testing.T) {
	dir := t.TempDir()
	for _, pair := range [][2]string{{"a", "b"}, {"b", "a"}} {
		writeHostFile(t, filepath.Join(dir, pair[0]+".vmdk"), fmt.Sprintf(
			"# Disk DescriptorFile\nversion=1\nCID=11111111\nparentCID=11111111\ncreateType=\"vmfs\"\nparentFileNameHint=\"%s.vmdk\"\nRW 2048 ZERO\n", pair[1]))
	}
	bounded(t, "cycle", []string{"convert", filepath.Join(dir, "a.vmdk"), "-O", "raw", "-o", filepath.Join(dir, "out")}, 3, 4)
}

// TestDedupBomb is a file of some hundred KiB that maps one compressed cluster
// all over a disk of 60 TiB.
func TestDedupBomb(t *testing.T) {
	testtool.Need(t, "qemu-img", "qemu-io")
	dir := t.TempDir()
	bomb := filepath.Join(dir, "bomb.qcow2")
	testtool.Run(t, "qemu-img", "create", "-q", "-f", "qcow2", bomb, "60T")
	testtool.Run(t, "qemu-io", "-f", "qcow2", "-c", "write -c -P 7 0 64k", bomb)
	f, err := os.OpenFile(bomb, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	l1 := repeatEntry(t, f, 0, 40, 60<<40/(64<<10)/8192)
	repeatEntry(t, f, 1, l1&(1<<56-1)&^511, 8192)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	bounded(t, "bomb", []string{"convert", bomb, "-O", "raw", "-o", filepath.Join(dir, "out.raw")}, 6)
	bounded(t, "bomb", []string{"info", bomb}, 0)
}

// repeatEntry copies the first entry of a table over the others, and returns it.
// level 0 takes the table's place from the header field at off.
func repeatEntry(t *testing.T, f *os.File, level int, off uint64, n int) uint64 {
	t.Helper()
	word := make([]byte, 8)
	if level == 0 {
		if _, err := f.ReadAt(word, int64(off)); err != nil {
			t.Fatal(err)
		}
		off = binary.BigEndian.Uint64(word)
	}
	if _, err := f.ReadAt(word, int64(off)); err != nil {
		t.Fatal(err)
	}
	table := make([]byte, 0, 8*n)
	for range n {
		table = append(table, word...)
	}
	if _, err := f.WriteAt(table, int64(off)); err != nil {
		t.Fatal(err)
	}
	return binary.BigEndian.Uint64(word)
}

// TestDamagedImages flips bits in the first 128 KiB of an image of each format:
// whatever comes of it, it is no panic, soon over and in bounded memory.
func TestDamagedImages(t *testing.T) {
	testtool.Need(t, "qemu-img")
	dir := t.TempDir()
	raw := filepath.Join(dir, "disk.raw")
	writeHostFile(t, raw, string(make([]byte, 3<<20)))
	r := rand.New(rand.NewPCG(3, 3))
	for _, options := range [][]string{
		{"-O", "qcow2"}, {"-O", "vmdk"}, {"-O", "vmdk", "-o", "subformat=streamOptimized"}, {"-O", "vpc"}, {"-O", "vhdx"}, {"-O", "vdi"},
	} {
		image := filepath.Join(dir, "image")
		testtool.Run(t, "qemu-img", append(append([]string{"convert"}, options...), raw, image)...)
		good, err := os.ReadFile(image)
		if err != nil {
			t.Fatal(err)
		}
		for range 6 {
			bad := append([]byte(nil), good...)
			for range 1 + r.IntN(4) {
				bad[r.IntN(min(len(bad), 128<<10))] ^= 1 << r.IntN(8)
			}
			writeHostFile(t, image, string(bad))
			for _, args := range [][]string{{"convert", image, "-O", "raw", "-o", filepath.Join(dir, "out"), "--overwrite"}, {"check", image}, {"map", image}} {
				bounded(t, fmt.Sprint(options), args, 0, 1, 3, 4, 6, 8)
			}
		}
	}
}

func writeHostFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
