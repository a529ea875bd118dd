//go:build guests && linux

package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// TestGuestKilledCp kills `vmconv cp` into a real guest: the file is there wholly
// or not at all.
func TestGuestKilledCp(t *testing.T) {
	mustEnv(t, "VMCONV")
	testtool.Need(t, "qemu-img", "e2fsck")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 2))
	big := filepath.Join(t.TempDir(), "big")
	content := make([]byte, 40<<20)
	for i := range content {
		content[i] = byte(r.Uint32())
	}
	if err := os.WriteFile(big, content, 0o644); err != nil {
		t.Fatal(err)
	}
	src := guestImage(t, "mbr")
	for _, format := range []string{"raw", "qcow2"} {
		t.Run(format, func(t *testing.T) {
			img := inFormat(t, src, format)
			began := time.Now()
			wants(t, 0, []string{"cp", big, img + ":/root/whole"})
			whole := time.Since(began)
			there := 0
			for i := range 6 {
				name := fmt.Sprintf("/root/big%d", i)
				killAfter(t, program("cp", big, img+":"+name), time.Duration(float64(whole)*r.Float64()))
				switch got := try(t, "cat", img, name); {
				case got.code == 7 && got.stdout == "":
				case got.code == 0 && got.stdout == string(content):
					there++
				default:
					t.Fatalf("kill %d: exit code %d, %d bytes\n%s", i, got.code, len(got.stdout), got.stderr)
				}
				wants(t, 0, []string{"edit", img, "/etc/motd", "-e", fmt.Sprintf("s/$/ %d/", i)})
				alone(t, img)
			}
			judge(t, img, format)
			t.Logf("a copy takes %v; %d of 6 were whole", whole, there)
		})
	}
}

// TestGuestCutAtCalls kills an edit at each of its system calls that change the
// disk, by strace: the order is then the program's own.
func TestGuestCutAtCalls(t *testing.T) {
	mustEnv(t, "VMCONV")
	testtool.Need(t, "strace", "qemu-img", "e2fsck")
	lines := bytes.Repeat([]byte("old x\n"), 9000)
	raw := newDisk(t, "12M", "ext4", system(map[string][]byte{"etc/hosts": []byte("old\n"), "etc/motd": lines}))
	for _, k := range kinds {
		switch {
		case os.Getenv("VMCONV_SOAK") != "":
		case k.name == "raw", k.name == "qcow2", k.name == "vmdk-twoGbMaxExtentSparse":
		default:
			continue
		}
		t.Run(k.name, func(t *testing.T) {
			c := callCutter{kind: k, img: k.of(t, raw)}
			c.old = readFolder(t, c.img)
			c.was = c.text(t)
			for _, call := range []string{"pwrite64", "fsync", "unlinkat", "ftruncate", "openat"} {
				for n := 1; c.cut(t, call, n); n++ {
					c.check(t, fmt.Sprintf("%s %d", call, n))
				}
			}
			t.Logf("%d cuts, %d after the log was complete", c.cuts, c.after)
			if c.cuts < 8 || c.after < 4 {
				t.Error("the cuts did not hit the writes")
			}
		})
	}
}

// callCutter cuts one edit of an image at its system calls.
type callCutter struct {
	kind        kind
	img         string
	old         folder
	was         string // the files of the edit before it
	cuts, after int    // all of them, those that left new files
}

func (c *callCutter) text(t *testing.T) string {
	t.Helper()
	return wants(t, 0, []string{"cat", c.img, "/etc/hosts", "/etc/motd"}).stdout
}

// cut kills the edit at its nth such call on a file of the image, a log or the
// folder. It reports whether there was one.
func (c *callCutter) cut(t *testing.T, call string, n int) bool {
	t.Helper()
	c.old.write(t, c.img)
	dir := filepath.Dir(c.img)
	tool := []string{"strace", "-f", "-o", "/dev/null", "-e", "trace=" + call, "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", call, n), "-P", dir}
	for name := range c.old {
		path := filepath.Join(dir, name)
		tool = append(tool, "-P", path, "-P", logOf(path))
	}
	r := wait(t, under(tool, "edit", c.img, "/etc/hosts", "/etc/motd", "-e", "s/^old/new/g", "-e", "s/x$/yyyyyyyyyyyy/"))
	if r.code != 0 && r.code != 128+9 {
		t.Fatalf("%s %d: exit code %d\n%s", call, n, r.code, r.stderr)
	}
	return r.code != 0
}

// check looks at what a cut left, and goes on from there.
func (c *callCutter) check(t *testing.T, what string) {
	t.Helper()
	c.cuts++
	now := c.text(t)
	if now != c.was {
		c.after++
		if !strings.HasPrefix(now, "new\nnew yyyy") || strings.Contains(now, "old") {
			t.Fatalf("%s: neither old nor new", what)
		}
	}
	wants(t, 0, []string{"edit", c.img, "/etc/fstab", "-e", "s/defaults/noatime/"})
	if c.text(t) != now {
		t.Fatalf("%s: the next edit shows something else", what)
	}
	c.kind.judge(t, c.img)
	for name := range readFolder(t, c.img) {
		if c.old[name] == nil {
			t.Fatalf("%s: %s was left", what, name)
		}
	}
}
