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
// goes on from it: osfile's own tests cut everything about the log, this one ties
// it to real formats, of one file or of more, and a real filesystem. Before the
// last log is complete the guest has its old files, after that its new ones,
// whatever of the change has reached the image. Recovered images must be the same
// to the byte as one of two that other programs have judged.
func TestCutEdit(t *testing.T) {
	testtool.Need(t, "qemu-img", "e2fsck", "debugfs", "prlimit")
	lines := bytes.Repeat([]byte("old x\n"), 9000)
	raw := newDisk(t, "6M", "ext4", system(map[string][]byte{"etc/hosts": lines[:60], "etc/motd": lines, "etc/issue": lines}))
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) { newCutEdit(t, k, raw).run(t) })
	}
}

// changed are the files of the edit; all of them grow, the second and third far.
var changed = []string{"/etc/hosts", "/etc/motd", "/etc/issue"}

const newLine = "new yyyyyyyyyyyyyy"

// cutEdit is an edit that was cut when its logs were complete.
type cutEdit struct {
	kind     kind
	img      string
	old, new folder
	oldDisk  string // raw, made by QEMU
	newDisk  string
	logs     []logFile // in the order they are written: the image's own is the last
}

type logFile struct {
	name    string
	content []byte
}

func newCutEdit(t *testing.T, k kind, raw string) *cutEdit {
	c := &cutEdit{kind: k, img: k.of(t, raw), oldDisk: raw}
	c.old = readFolder(t, c.img)
	c.leaveLogs(t)
	c.recover(t)
	c.new = readFolder(t, c.img)
	c.newDisk = k.judge(t, c.img)
	for _, path := range changed {
		text := string(onDisk(t, c.newDisk, path))
		if !strings.HasPrefix(text, newLine+"\n") || strings.Contains(text, "old") {
			t.Fatalf("debugfs sees something else in %s: %.200s", path, text)
		}
	}
	return c
}

// leaveLogs runs the edit in such a way that it may not write to the image any
// more when its logs are complete. A limit on the size of files does that: what
// is changed in the image lies beyond the length of the logs.
func (c *cutEdit) leaveLogs(t *testing.T) {
	t.Helper()
	args := slices.Concat([]string{"edit", c.img}, changed, []string{"-e", "s/^old.*/" + newLine + "/"})
	for limit := 192 << 10; limit < 2<<20; limit += 64 << 10 {
		cmd := under([]string{"prlimit", fmt.Sprintf("--fsize=%d", limit)}, args...)
		if r := wait(t, cmd); r.code == 0 {
			t.Fatal("the image was changed below the length of its log")
		}
		now := readFolder(t, c.img)
		own := filepath.Base(logOf(c.img))
		if now[own] == nil {
			if diff := now.differences(c.old); diff != nil {
				t.Fatalf("an edit that failed changed %v", diff)
			}
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(now)) {
			if c.old[name] == nil && name != own {
				c.logs = append(c.logs, logFile{name, now[name]})
			}
		}
		c.logs = append(c.logs, logFile{own, now[own]})
		return
	}
	t.Fatal("no limit leaves a log")
}

// recover is the next command that may write to the image, and writes nothing.
func (c *cutEdit) recover(t *testing.T) {
	t.Helper()
	command(t, "edit", c.img, "/etc/fstab", "-e", "s/nothing//")
}

func (c *cutEdit) run(t *testing.T) {
	states := 0
	check := func(what string, state, want folder) {
		t.Helper()
		states++
		c.check(t, what, state, want, states%10 == 1)
	}
	whole := folder{} // the logs so far
	for _, log := range c.logs {
		for _, n := range prefixes(len(log.content)) {
			check(fmt.Sprintf("%d bytes of %s", n, log.name), c.old.with(whole).with(folder{log.name: log.content[:n]}), c.old)
		}
		whole[log.name] = log.content
	}
	runs := c.runs()
	for i := range len(runs) + 1 {
		check(fmt.Sprintf("%d of %d writes", i, len(runs)), c.mix(runs[:i]).with(whole), c.new)
	}
	r := rand.New(rand.NewPCG(7, 7))
	for i := range 8 {
		some := slices.Clone(runs)
		r.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
		check(fmt.Sprintf("any writes, %d", i), c.mix(some[:r.IntN(len(some))]).with(whole), c.new)
	}
	for _, log := range c.logs {
		delete(whole, log.name)
		check("without "+log.name, c.new.with(whole), c.new)
	}
	t.Logf("%d states: %d logs, %d runs of changed blocks", states, len(c.logs), len(runs))
	if files := len(c.old); len(c.logs) != files {
		t.Errorf("%d logs for %d files", len(c.logs), files)
	}
}

// check writes one state to the disk, reads it and goes on from it.
func (c *cutEdit) check(t *testing.T, what string, state, want folder, next bool) {
	t.Helper()
	disk := c.oldDisk
	if len(want.differences(c.new)) == 0 {
		disk = c.newDisk
	}
	state.write(t, c.img)
	command(t, "compare", c.img, disk) // through the logs
	c.recover(t)
	if diff := readFolder(t, c.img).differences(want); diff != nil {
		t.Fatalf("%s: after the recovery %v is neither old nor new", what, diff)
	}
	if !next {
		return
	}
	text := command(t, append([]string{"cat", c.img}, changed...)...)
	command(t, "edit", c.img, "/etc/fstab", "-e", "s/defaults/noatime/")
	if command(t, append([]string{"cat", c.img}, changed...)...) != text {
		t.Fatalf("%s: after the next edit there is something else", what)
	}
	plain := c.kind.judge(t, c.img)
	if got := string(onDisk(t, plain, "/etc/fstab")); !strings.Contains(got, "noatime") {
		t.Fatalf("%s: the next edit was lost", what)
	}
}

// blockRun is blocks of 512 bytes of a file that changed, one after the other.
type blockRun struct {
	name     string
	from, to int
}

func (c *cutEdit) runs() (out []blockRun) {
	for _, log := range c.logs {
		name := strings.TrimSuffix(strings.TrimPrefix(log.name, "."), ".vmconv-log")
		old, new := c.old[name], c.new[name]
		size := max(len(old), len(new))
		for at := 0; at < size; at += 512 {
			end := min(at+512, size)
			if bytes.Equal(piece(old, at, end), piece(new, at, end)) {
				continue
			}
			if n := len(out); n > 0 && out[n-1].name == name && out[n-1].to == at && at-out[n-1].from < 16<<10 {
				out[n-1].to = end
			} else {
				out = append(out, blockRun{name, at, end})
			}
		}
	}
	return out
}

// mix is the old image with some of the changes made.
func (c *cutEdit) mix(runs []blockRun) folder {
	mixed := folder{}
	for name, old := range c.old {
		size := len(old)
		for _, r := range runs {
			if r.name == name {
				size = max(size, r.to)
			}
		}
		mixed[name] = piece(old, 0, size)
	}
	for _, r := range runs {
		copy(mixed[r.name][r.from:], piece(c.new[r.name], r.from, r.to))
	}
	return mixed
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
