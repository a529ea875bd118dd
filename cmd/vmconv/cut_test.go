//go:build linux

package main

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// TestCutEdit makes every image that a power cut during an edit may leave, and
// looks at it as a user does: osfile's own tests cut everything about the log,
// this one ties it to real formats and a real filesystem. Before the log is
// complete the guest has its old files, after that its new ones, whatever of the
// change has reached the image.
func TestCutEdit(t *testing.T) {
	testtool.Need(t, "qemu-img", "e2fsck", "prlimit")
	lines := bytes.Repeat([]byte("old x\n"), 9000)
	raw := newDisk(t, "24M", "ext4", system(map[string][]byte{"etc/hosts": lines[:60], "etc/motd": lines, "etc/issue": lines}))
	for _, format := range []string{"raw", "qcow2"} {
		t.Run(format, func(t *testing.T) { cutEdit(t, inFormat(t, raw, format), format) })
	}
}

// changed are the files of the edit. The second one grows, the third one shrinks.
var changed = []string{"/etc/hosts", "/etc/motd", "/etc/issue"}

func cutEdit(t *testing.T, img, format string) {
	old := readFile(t, img)
	args := append([]string{"edit", img, "-e", "s/^old/new/g"}, changed...)
	oldText := command(t, append([]string{"cat", img}, changed...)...)
	log := logOf(img)
	logText := cutBeforeImage(t, img, old, append(args, "-e", "s/x$/yyyyyyyyyyyyyy/"))
	command(t, "cat", img, "/etc/hosts") // through the log
	command(t, "edit", img, "/etc/fstab", "-e", "s/nothing//")
	if _, err := os.Stat(log); err == nil {
		t.Fatal("the next command left the log")
	}
	newText := command(t, append([]string{"cat", img}, changed...)...)
	if newText == oldText || !strings.Contains(newText, "yyyy") {
		t.Fatal("the edit changed nothing")
	}
	c := cutState{img: img, format: format, log: log, old: old, new: readFile(t, img)}
	r := rand.New(rand.NewPCG(7, 7))
	for _, n := range prefixes(len(logText)) {
		c.check(t, fmt.Sprintf("log cut after %d bytes", n), c.old, logText[:n], oldText)
	}
	runs := c.runs()
	for i := range len(runs) + 1 {
		c.check(t, fmt.Sprintf("%d of %d writes", i, len(runs)), c.mix(runs[:i]), logText, newText)
	}
	for i := range 4 {
		some := slices.Clone(runs)
		r.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
		c.check(t, fmt.Sprintf("any writes, %d", i), c.mix(some[:r.IntN(len(some))]), logText, newText)
	}
	t.Logf("a log of %d bytes, %d runs of changed blocks", len(logText), len(runs))
}

// cutBeforeImage runs an edit that may not write to the image any more when its
// log is complete, and returns the log. A limit on the size of files does that:
// what is changed in the image lies beyond the log's length.
func cutBeforeImage(t *testing.T, img string, old []byte, args []string) []byte {
	t.Helper()
	for limit := 64 << 10; limit < len(old); limit += 64 << 10 {
		cmd := under([]string{"prlimit", fmt.Sprintf("--fsize=%d", limit)}, args...)
		if r := wait(t, cmd); r.code == 0 {
			t.Fatal("the image was changed below the length of its log")
		}
		if text, err := os.ReadFile(logOf(img)); err == nil {
			return text
		}
		alone(t, img)
	}
	t.Fatal("no limit leaves a log")
	return nil
}

// cutState builds images that are half changed.
type cutState struct {
	img, format, log string
	old, new         []byte
}

// check writes one state to the disk, reads it, goes on from it, and lets others
// judge what comes out.
func (c *cutState) check(t *testing.T, what string, content, log []byte, want string) {
	t.Helper()
	writeSparse(t, c.img, content)
	if err := os.WriteFile(c.log, log, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := command(t, append([]string{"cat", c.img}, changed...)...); got != want {
		t.Errorf("%s: the reader sees something else", what)
	}
	command(t, "edit", c.img, "/etc/fstab", "-e", "s/defaults/noatime/")
	if got := command(t, append([]string{"cat", c.img}, changed...)...); got != want {
		t.Errorf("%s: after the next edit there is something else", what)
	}
	if got := command(t, "cat", c.img, "/etc/fstab"); !strings.Contains(got, "noatime") {
		t.Errorf("%s: the next edit was lost", what)
	}
	judge(t, c.img, c.format)
	alone(t, c.img)
	if t.Failed() {
		t.Fatalf("%s: stopped at the first failure", what)
	}
}

// run is blocks of 512 bytes that changed, one after the other.
type blockRun struct{ from, to int }

func (c *cutState) runs() (out []blockRun) {
	size := max(len(c.old), len(c.new))
	for at := 0; at < size; at += 512 {
		end := min(at+512, size)
		if bytes.Equal(piece(c.old, at, end), piece(c.new, at, end)) {
			continue
		}
		if n := len(out); n > 0 && out[n-1].to == at && at-out[n-1].from < 16<<10 {
			out[n-1].to = end
		} else {
			out = append(out, blockRun{at, end})
		}
	}
	return out
}

// mix is the old image with some of the changes made.
func (c *cutState) mix(runs []blockRun) []byte {
	size := len(c.old)
	for _, r := range runs {
		size = max(size, min(r.to, len(c.new)))
	}
	out := make([]byte, size)
	copy(out, c.old)
	for _, r := range runs {
		copy(out[r.from:], piece(c.new, r.from, r.to))
	}
	return out
}

// piece is a part of an image; behind its end there are zeros.
func piece(p []byte, from, to int) []byte {
	out := make([]byte, to-from)
	if from < len(p) {
		copy(out, p[from:min(to, len(p))])
	}
	return out
}

// prefixes are the lengths at which a log of n bytes is cut.
func prefixes(n int) []int {
	set := map[int]bool{0: true, 63: true, 64: true, n - 1: true, n - 64: true}
	for i := 1; i < 5; i++ {
		set[i*n/5] = true
	}
	return slices.Sorted(maps.Keys(set))
}

func logOf(img string) string {
	return filepath.Join(filepath.Dir(img), "."+filepath.Base(img)+".vmconv-log")
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// writeSparse replaces a file, with holes for what is zero.
func writeSparse(t testing.TB, path string, content []byte) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(int64(len(content))); err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 64<<10)
	for at := 0; at < len(content); at += len(zeros) {
		p := content[at:min(at+len(zeros), len(content))]
		if bytes.Equal(p, zeros[:len(p)]) {
			continue
		}
		if _, err := f.WriteAt(p, int64(at)); err != nil {
			t.Fatal(err)
		}
	}
}
