//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// maxMemory is what no image may make a command use.
const maxMemory = 200 << 20

// bounded wants a command to end with one of the codes, soon, in bounded memory.
func bounded(t *testing.T, what string, args []string, codes ...int) {
	t.Helper()
	testtool.Need(t, "time", "timeout")
	// A process starts with the peak of the one that forked it: time is small,
	// and this test may not be.
	peak := filepath.Join(t.TempDir(), "peak")
	r := wait(t, under([]string{"time", "-q", "-f", "%M", "-o", peak, "timeout", "-s", "KILL", "20"}, args...))
	text, err := os.ReadFile(peak)
	if err != nil {
		t.Fatal(err)
	}
	kib, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(codes, r.code) || strings.Contains(r.stderr, "panic") {
		t.Errorf("%s: vmconv %s: exit code %d, not %v\n%s", what, args[0], r.code, codes, r.stderr)
	}
	if kib<<10 > maxMemory {
		t.Errorf("%s: vmconv %s: %d MiB resident", what, args[0], kib>>10)
	}
}

// TestFolderCycle has a folder inside itself: nobody walks for ever.
func TestFolderCycle(t *testing.T) {
	testtool.Need(t, "debugfs")
	img := newDisk(t, "16M", "ext4", system(map[string][]byte{"a/b/c/f": []byte("x\n")}))
	part := filepath.Join(t.TempDir(), "part")
	testtool.Run(t, "dd", "if="+img, "of="+part, "bs=1M", "skip=1", "status=none")
	testtool.Run(t, "debugfs", "-w", "-R", "link /a /a/b/c/loop", part)
	testtool.Run(t, "dd", "if="+part, "of="+img, "bs=1M", "seek=1", "conv=notrunc", "status=none")
	out := filepath.Join(t.TempDir(), "out")
	bounded(t, "cycle", []string{"ls", "-R", img, "/"}, 4)
	bounded(t, "cycle", []string{"cp", "-r", img + ":/a", out}, 4)
	if _, err := os.Lstat(out); err == nil {
		t.Error("cp left something")
	}
	bounded(t, "cycle", []string{"cat", img, "/a/b/c/loop/b/c/f"}, 0, 4)
	bounded(t, "cycle", []string{"inspect", img}, 0, 4)
}

// TestLinksStayInside has links that would lead out of the guest.
func TestLinksStayInside(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("of the host"), 0o600); err != nil {
		t.Fatal(err)
	}
	tree := t.TempDir()
	for name, target := range map[string]string{
		"up": strings.Repeat("../", 30) + secret, "abs": secret, "loop": "pool", "pool": "loop", "proc": "/proc/self/environ", "dot": ".",
	} {
		if err := os.Symlink(target, filepath.Join(tree, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range system(nil) {
		os.MkdirAll(filepath.Dir(filepath.Join(tree, name)), 0o755)
		os.WriteFile(filepath.Join(tree, name), text, 0o644)
	}
	img := filepath.Join(t.TempDir(), "disk.img")
	testtool.Run(t, "sh", "-c", diskScript, "sh", img, "16M", "ext4", tree)
	for _, p := range []string{"/up", "/abs", "/loop", "/proc", "/dot/dot/up", "/etc/../../.." + secret} {
		if r := wants(t, 7, []string{"cat", img, p}); r.stdout != "" {
			t.Errorf("%s: it gave %q", p, r.stdout)
		}
		wants(t, 7, []string{"edit", img, p, "-e", "s/of/x/"})
	}
	if string(readFile(t, secret)) != "of the host" {
		t.Error("a file of the host was changed")
	}
}

// TestLyingSuperblock sets each field of the superblock to what it should not be.
func TestLyingSuperblock(t *testing.T) {
	good := newDisk(t, "16M", "ext2", system(nil))
	image := readFile(t, good)
	img := filepath.Join(t.TempDir(), "disk.img")
	const super = 1<<20 + 1024
	for at := 0; at < 0x68; at += 4 {
		for _, value := range []uint32{0, 1, 0x7fff_ffff, 0xffff_ffff} {
			bad := slices.Clone(image)
			binary.LittleEndian.PutUint32(bad[super+at:], value)
			writeSparse(t, img, bad)
			survives(t, img)
		}
	}
	// Some of them in a process of its own, for its memory.
	for _, at := range []int{0, 4, 0x18, 0x20, 0x28} {
		bad := slices.Clone(image)
		binary.LittleEndian.PutUint32(bad[super+at:], 0xffff_fff0)
		writeSparse(t, img, bad)
		bounded(t, "superblock", []string{"ls", "-R", img, "/"}, 0, 3, 4)
	}
}

// TestFlippedBits damages what a filesystem keeps about itself.
func TestFlippedBits(t *testing.T) {
	image := readFile(t, newDisk(t, "16M", "ext4", system(map[string][]byte{"srv/a/b/c": noise(200_000)})))
	img := filepath.Join(t.TempDir(), "disk.img")
	r := rand.New(rand.NewPCG(11, 11))
	for range 80 {
		bad := slices.Clone(image)
		for range 1 + r.IntN(20) {
			bad[446+r.IntN(1<<20+200<<10)] ^= 1 << r.IntN(8)
			bad[1<<20+r.IntN(300<<10)] = byte(r.Uint32())
		}
		writeSparse(t, img, bad)
		survives(t, img)
	}
}

// survives runs the commands in this process: a panic would end the test.
func survives(t *testing.T, img string) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out")
	for _, args := range [][]string{
		{"ls", "-R", img, "/"}, {"inspect", img}, {"cat", img, "/etc/fstab"}, {"cp", "-r", img + ":/srv", out},
		{"convert", img, "--to", "kvm", "--dry-run"}, {"edit", img, "/etc/fstab", "-e", "s/a/b/"},
	} {
		began := time.Now()
		var talk bytes.Buffer
		code := run(args, environment{
			stdin: bytes.NewReader(nil), stdout: &bytes.Buffer{}, stderr: &talk,
			lookup: func(string) (string, bool) { return "", false },
		})
		if code == 2 || code > 9 || time.Since(began) > 10*time.Second {
			t.Errorf("vmconv %s: exit code %d after %v\n%s", args[0], code, time.Since(began), talk.String())
		}
	}
}

// TestHugeTexts has files that no guest has in such sizes.
func TestHugeTexts(t *testing.T) {
	fstab := []byte(strings.Repeat("/dev/x /y z\n", 1_000_000))
	img := newDisk(t, "256M", "ext4", system(map[string][]byte{
		"etc/fstab":          append(system(nil)["etc/fstab"], fstab...),
		"boot/grub/grub.cfg": bytes.Repeat([]byte("menuentry 'x' {\n\tlinux /vmlinuz root=/dev/xvda1\n}\n"), 2_000_000),
	}))
	bounded(t, "huge", []string{"cat", img, "/etc/os-release"}, 0, 3)
	bounded(t, "huge", []string{"inspect", img}, 0, 3)
	bounded(t, "huge", []string{"convert", img, "--to", "kvm", "--dry-run"}, 3)
	bounded(t, "huge", []string{"edit", img, "/boot/grub/grub.cfg", "-e", "s/a/b/"}, 3)
}
