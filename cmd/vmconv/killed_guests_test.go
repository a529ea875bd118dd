//go:build guests && linux

package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
	raw := newDisk(t, "24M", "ext4", system(map[string][]byte{"etc/hosts": []byte("old\n"), "etc/motd": lines}))
	for _, format := range []string{"raw", "qcow2"} {
		t.Run(format, func(t *testing.T) {
			old := inFormat(t, raw, format)
			img := filepath.Join(t.TempDir(), "disk."+format)
			edit := []string{"edit", img, "/etc/hosts", "/etc/motd", "-e", "s/^old/new/g", "-e", "s/x$/yyyyyyyyyyyy/"}
			was, cuts, after := "", 0, 0
			for _, call := range []string{"pwrite64", "fsync", "unlinkat", "ftruncate", "openat"} {
				for n := 1; ; n++ {
					testtool.Run(t, "cp", old, img)
					if was == "" {
						was = wants(t, 0, []string{"cat", img, "/etc/hosts", "/etc/motd"}).stdout
					}
					r := wait(t, under([]string{"strace", "-f", "-o", "/dev/null", "-P", img, "-P", logOf(img), "-P", filepath.Dir(img),
						"-e", "trace=" + call, "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", call, n)}, edit...))
					if r.code == 0 {
						break
					}
					if r.code != 128+9 {
						t.Fatalf("%s %d: exit code %d\n%s", call, n, r.code, r.stderr)
					}
					cuts++
					now := wants(t, 0, []string{"cat", img, "/etc/hosts", "/etc/motd"}).stdout
					if now != was {
						after++
						if !strings.HasPrefix(now, "new\nnew yyyy") || strings.Contains(now, "old") {
							t.Fatalf("%s %d: neither old nor new", call, n)
						}
					}
					wants(t, 0, []string{"edit", img, "/etc/fstab", "-e", "s/defaults/noatime/"})
					if wants(t, 0, []string{"cat", img, "/etc/hosts", "/etc/motd"}).stdout != now {
						t.Fatalf("%s %d: the next edit shows something else", call, n)
					}
					judge(t, img, format)
					alone(t, img)
				}
			}
			t.Logf("%d cuts, %d after the log was complete", cuts, after)
			if cuts < 8 || after < 4 {
				t.Error("the cuts did not hit the writes")
			}
		})
	}
}
