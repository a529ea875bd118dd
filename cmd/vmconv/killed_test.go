//go:build linux

package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// killsVariable is how often an edit of each kind of image is killed: make test
// asks for 50, and a few are what the fast tests take the time for.
const killsVariable = "VMCONV_KILLS"

func wantedKills(t *testing.T) int {
	text := os.Getenv(killsVariable)
	if text == "" {
		return 5
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%s is no number of kills", killsVariable, text)
	}
	return n
}

// TestKilledEdit kills `vmconv edit` at random moments of its run. The image is
// wholly old then, or the guest has all of its new files, and the next edit works.
// VMCONV_SOAK=1 does it to every kind.
func TestKilledEdit(t *testing.T) {
	testtool.Need(t, "qemu-img", "e2fsck", "debugfs")
	files, names := longTexts()
	raw := newDisk(t, "12M", "ext4", system(files))
	for _, k := range kinds {
		if !k.main && os.Getenv("VMCONV_SOAK") == "" {
			continue
		}
		t.Run(k.name, func(t *testing.T) { newKiller(t, k, raw, names).run(t) })
	}
}

// longTexts are files that an edit makes 2 MB long in all.
func longTexts() (files map[string][]byte, names []string) {
	files = map[string][]byte{}
	for i := range 3 {
		name := fmt.Sprintf("srv/text%d", i)
		files[name] = bytes.Repeat([]byte("old\n"), 7000)
		names = append(names, "/"+name)
	}
	return files, names
}

// killer kills one edit of an image again and again.
type killer struct {
	kind             kind
	img              string
	old              folder
	names            []string // of the files of the edit
	oldText, newText string
	whole            time.Duration // of an edit that nobody kills
	r                *rand.Rand

	killed, logs, changed int // how often it was in time, left a log, left new files
}

func newKiller(t *testing.T, k kind, raw string, names []string) *killer {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	c := &killer{kind: k, img: k.of(t, raw), names: names, r: rand.New(rand.NewPCG(seed, 1))}
	c.old = readFolder(t, c.img)
	c.oldText = c.text(t)
	for range 3 {
		c.old.write(t, c.img)
		began := time.Now()
		wants(t, 0, c.edit())
		c.whole = time.Since(began) // the first ones warm the caches up
	}
	c.newText = c.text(t)
	if c.newText == c.oldText {
		t.Fatal("the edit changed nothing")
	}
	k.judge(t, c.img)
	return c
}

func (c *killer) edit() []string {
	return slices.Concat([]string{"edit", c.img}, c.names, []string{"-e", "s/old/new and longer than the old one was, so that the filesystem and the image both need room for it/"})
}

func (c *killer) text(t *testing.T) string {
	t.Helper()
	return command(t, append([]string{"cat", c.img}, c.names...)...)
}

func (c *killer) run(t *testing.T) {
	kills := wantedKills(t)
	for i := range kills {
		c.old.write(t, c.img)
		if c.kill(t, i) {
			c.killed++
		}
		c.check(t, i)
		if t.Failed() {
			t.Fatalf("kill %d", i)
		}
	}
	t.Logf("an edit takes %v; of %d kills %d came in time, %d left a log, %d left new files", c.whole, kills, c.killed, c.logs, c.changed)
	if kills >= 50 && (c.killed < kills/10 || c.logs == 0) {
		t.Error("the kills did not hit anything")
	}
}

// kill kills an edit at a random moment: half of the times any, half of them from
// when its log is there. It reports whether the edit still ran.
func (c *killer) kill(t *testing.T, i int) bool {
	t.Helper()
	cmd := program(c.edit()...)
	if i%2 == 0 {
		return killAfter(t, cmd, time.Duration(float64(c.whole)*1.1*c.r.Float64()))
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); time.Since(began) < 20*time.Second; time.Sleep(100 * time.Microsecond) {
		if c.hasLog(t) {
			break
		}
	}
	time.Sleep(time.Duration(float64(c.whole) / 6 * c.r.Float64()))
	return endByKill(cmd)
}

// hasLog reports whether the image, or an extent of it, has a log.
func (c *killer) hasLog(t *testing.T) bool {
	t.Helper()
	return strings.Contains(leftIn(t, filepath.Dir(c.img)), ".vmconv-log")
}

// check looks at what a kill left, and goes on from there.
func (c *killer) check(t *testing.T, i int) {
	t.Helper()
	if c.hasLog(t) {
		c.logs++
	}
	text := c.text(t)
	if text != c.oldText && text != c.newText {
		t.Fatal("the files are neither old nor new")
	}
	command(t, "edit", c.img, "/etc/fstab", "-e", "s/nothing//") // recovers
	diff := readFolder(t, c.img).differences(c.old)
	switch {
	case text == c.oldText && diff != nil:
		t.Errorf("the files are old, and %v changed", diff)
	case text == c.newText:
		c.changed++
		c.kind.judge(t, c.img)
	}
	if i%10 == 0 {
		wants(t, 0, []string{"edit", c.img, "/etc/fstab", "-e", "s/defaults/noatime/"})
		c.kind.judge(t, c.img)
	}
	if c.text(t) != text {
		t.Error("after the next command there is something else")
	}
	for name := range readFolder(t, c.img) {
		if c.old[name] == nil {
			t.Errorf("%s was left", name)
		}
	}
}

// killAfter starts a command and kills it after a while. It reports whether it
// still ran.
func killAfter(t *testing.T, cmd *exec.Cmd, after time.Duration) bool {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(after)
	return endByKill(cmd)
}

func endByKill(cmd *exec.Cmd) bool {
	cmd.Process.Kill()
	cmd.Wait()
	return exitOf(cmd.ProcessState) == 128+9
}
