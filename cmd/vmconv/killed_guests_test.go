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

// kills is how often an edit of each format is killed.
const kills = 50

// TestGuestKilledEdit kills `vmconv edit` at random moments of its run. The
// guest has all of its old files then or all of its new ones, and the next edit
// works.
func TestGuestKilledEdit(t *testing.T) {
	mustEnv(t, "VMCONV")
	testtool.Need(t, "qemu-img", "e2fsck")
	files, names := bigTexts()
	raw := newDisk(t, "128M", "ext4", system(files))
	for _, format := range []string{"raw", "qcow2"} {
		t.Run(format, func(t *testing.T) {
			killEdits(t, inFormat(t, raw, format), format, names)
		})
	}
}

// bigTexts are files of 30 MB in all, each line of which names their version.
// The lines are long, so that most of an edit's time goes into writing.
func bigTexts() (files map[string][]byte, names []string) {
	files = map[string][]byte{}
	for i := range 3 {
		name := fmt.Sprintf("srv/text%d", i)
		files[name] = bytes.Repeat([]byte("version-0 "+strings.Repeat("of a long line ", 66)+"\n"), bigLines)
		names = append(names, "/"+name)
	}
	return files, names
}

const bigLines = 10_000

func killEdits(t *testing.T, img, format string, names []string) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	version := 0
	edit := func() []string {
		return slices.Concat([]string{"edit", img}, names, []string{"-e", fmt.Sprintf("s/version-%d/version-%d/", version, 1-version)})
	}
	var whole time.Duration
	for range 4 {
		began := time.Now()
		wants(t, 0, edit())
		whole = time.Since(began) // the first ones warm the caches up
		version = 1 - version
	}
	killed, changed, logs := 0, 0, 0
	for i := range kills {
		if killOne(t, r, i, program(edit()...), img, whole) {
			killed++
		}
		if _, err := os.Stat(logOf(img)); err == nil {
			logs++
		}
		now := versionOf(t, img, names)
		if now != version {
			changed++
		}
		version = now
		if i%5 == 0 {
			wants(t, 0, edit())
			version = 1 - version
		} else {
			wants(t, 0, []string{"edit", img, "/etc/fstab", "-e", `s/^(.*) 0 \d+$/\1 0 ` + fmt.Sprint(i) + "/"})
		}
		if got := versionOf(t, img, names); got != version {
			t.Fatalf("kill %d: version %d after the next edit, want %d", i, got, version)
		}
		judge(t, img, format)
		alone(t, img)
		if t.Failed() {
			t.Fatalf("kill %d", i)
		}
	}
	t.Logf("an edit takes %v; of %d kills %d came in time, %d left a log, %d left new files", whole, kills, killed, logs, changed)
	if killed < kills/3 || logs < 3 {
		t.Error("the kills did not hit anything")
	}
}

// killOne kills an edit at a random moment: half of the times any, half of them
// while its log is there.
func killOne(t *testing.T, r *rand.Rand, i int, cmd *exec.Cmd, img string, whole time.Duration) bool {
	t.Helper()
	if i%2 == 0 {
		return killAfter(t, cmd, time.Duration(float64(whole)*1.1*r.Float64()))
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); time.Since(began) < 20*time.Second; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(logOf(img)); err == nil {
			break
		}
	}
	time.Sleep(time.Duration(float64(whole) / 3 * r.Float64()))
	cmd.Process.Kill()
	cmd.Wait()
	return exitOf(cmd.ProcessState) == 128+9
}

// killAfter starts a command and kills it after a while. It reports whether it
// still ran.
func killAfter(t *testing.T, cmd *exec.Cmd, after time.Duration) bool {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(after)
	cmd.Process.Kill()
	cmd.Wait()
	return exitOf(cmd.ProcessState) == 128+9
}

// versionOf is the version that all lines of the files have.
func versionOf(t *testing.T, img string, names []string) int {
	t.Helper()
	text := wants(t, 0, append([]string{"cat", img}, names...)).stdout
	lines := strings.Count(text, "\n")
	for v := range 2 {
		if n := strings.Count(text, fmt.Sprintf("version-%d ", v)); n == lines && n == 3*bigLines {
			return v
		}
	}
	t.Fatal("the files are neither old nor new")
	return 0
}

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
