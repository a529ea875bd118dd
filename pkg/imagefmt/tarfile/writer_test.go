package tarfile

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/osfile"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// sample is what writeSample puts into an archive.
func sample() map[string][]byte {
	return map[string][]byte{
		"x.ovf":       []byte("<Envelope/>\n"),
		"x.mf":        imagefmttest.Pattern(0, 700, 1),
		"known.vmdk":  imagefmttest.Pattern(0, 200_001, 2),
		"found.vmdk":  append(imagefmttest.Pattern(0, 100_000, 3), make([]byte, 5000)...),
		"größe.txt":   nil,
		"exact.block": imagefmttest.Pattern(0, 1024, 4),
	}
}

func writeSample(t *testing.T, w *Writer) {
	t.Helper()
	s := sample()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(w.WriteFile("x.ovf", s["x.ovf"]))
	slot, err := w.Reserve("x.mf", 700)
	check(err)
	known, err := w.NewMember("known.vmdk", int64(len(s["known.vmdk"])))
	check(err)
	for p, off := s["known.vmdk"], int64(0); len(p) > 0; {
		n, err := known.WriteAt(p[:min(len(p), 70_000)], off)
		check(err)
		p, off = p[n:], off+int64(n)
	}
	check(known.Close())
	found, err := w.NewMember("found.vmdk", -1)
	check(err)
	_, err = found.WriteAt(s["found.vmdk"][:100_000], 0)
	check(err)
	check(found.Zero(100_000, 5000))
	check(found.Close())
	check(slot.Fill(make([]byte, 700)))
	check(w.WriteFile("größe.txt", nil))
	check(w.WriteFile("exact.block", s["exact.block"]))
	check(slot.Fill(s["x.mf"]))
	check(w.Finish(t.Context()))
}

// TestJudges: GNU tar, 7-Zip and Python find in our archive what went in.
func TestJudges(t *testing.T) {
	testtool.Need(t, "tar", "7zz", "python3")
	dir := t.TempDir()
	path := filepath.Join(dir, "x.ova")
	out, err := osfile.Create(path, osfile.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2024, 5, 6, 7, 8, 9, 123, time.UTC)
	writeSample(t, NewWriter(out, Options{Now: func() time.Time { return now }}))
	if err := out.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TZ", "UTC")
	list := testtool.Run(t, "tar", "tvf", path)
	if got := strings.Count(list, "-rw-r--r-- 0/0"); got != len(sample()) || !strings.Contains(list, "2024-05-06 07:08 known.vmdk") {
		t.Errorf("tar lists:\n%s", list)
	}
	extract := map[string][]string{
		"tar":     {"xf", path, "-C"},
		"7zz":     {"x", "-bd", path, "-o"},
		"python3": {"-c", "import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])", path},
	}
	for tool, args := range extract {
		to := filepath.Join(dir, tool)
		if err := os.Mkdir(to, 0o755); err != nil {
			t.Fatal(err)
		}
		if last := len(args) - 1; args[last] == "-o" {
			args[last] += to
		} else {
			args = append(args, to)
		}
		testtool.Run(t, tool, args...)
		for name, want := range sample() {
			got, err := os.ReadFile(filepath.Join(to, name))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: %s: %d bytes, %v; want %d", tool, name, len(got), err, len(want))
			}
		}
	}
}

// TestWriterHuge: a member of more than 8 GiB, whose size is found out late, is
// of that size for others.
func TestWriterHuge(t *testing.T) {
	testtool.Need(t, "tar", "7zz", "python3")
	path := filepath.Join(t.TempDir(), "x.tar")
	out, err := osfile.Create(path, osfile.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w := NewWriter(out, Options{})
	m, err := w.NewMember("disk", -1)
	if err != nil {
		t.Fatal(err)
	}
	const size = 9<<30 + 100
	if err := m.Zero(0, size-1); err != nil {
		t.Fatal(err)
	}
	if _, err := m.WriteAt([]byte{1}, size-1); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(m.Close(), w.WriteFile("last", []byte("end")), w.Finish(t.Context()), out.Commit(t.Context())); err != nil {
		t.Fatal(err)
	}
	for _, list := range []string{
		testtool.Run(t, "tar", "tvf", path),
		testtool.Run(t, "7zz", "l", path),
		testtool.Run(t, "python3", "-m", "tarfile", "-v", "-l", path),
	} {
		if !strings.Contains(list, "9663676516") || !strings.Contains(list, "last") {
			t.Errorf("not listed as written:\n%s", list)
		}
	}
	a, err := Index(t.Context(), open(t, path), ondisk.Limits{})
	if err != nil || len(a.Members()) != 2 || a.Members()[0].Size != size {
		t.Errorf("our index: %+v, %v", a, err)
	}
}

// TestSame: the same members give the same bytes; a device with old bytes gets
// them too.
func TestSame(t *testing.T) {
	fresh := imagefmttest.NewSink("x")
	writeSample(t, NewWriter(fresh, Options{}))
	want := fresh.File().Bytes()
	used := imagefmttest.NewUsedSink("x", int64(len(want)))
	writeSample(t, NewWriter(used, Options{}))
	if !bytes.Equal(used.File().Bytes(), want) {
		t.Error("a device holds another archive")
	}
	a, err := Index(t.Context(), fresh.File(), ondisk.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range sample() {
		checkMember(t, a, name, content)
	}
}

// TestPipe: what needs to go back is refused, all else streams.
func TestPipe(t *testing.T) {
	sink := imagefmttest.NewSink("x")
	sink.Pipe = true
	w := NewWriter(sink, Options{})
	if _, err := w.Reserve("x.mf", 10); !errors.Is(err, ondisk.ErrUnsupported) {
		t.Errorf("Reserve: %v", err)
	}
	if _, err := w.NewMember("disk", -1); !errors.Is(err, ondisk.ErrUnsupported) {
		t.Errorf("NewMember: %v", err)
	}
	m, err := w.NewMember("disk", 100_000)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(m.Zero(0, 100_000), m.Close(), w.Finish(t.Context())); err != nil {
		t.Fatal(err)
	}
	a, err := Index(t.Context(), sink.File(), ondisk.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	checkMember(t, a, "disk", make([]byte, 100_000))
}

// TestMistakes of the caller are told.
func TestMistakes(t *testing.T) {
	w := NewWriter(imagefmttest.NewSink("x"), Options{})
	for _, name := range []string{"", repeat("n", 101)} {
		if err := w.WriteFile(name, nil); !errors.Is(err, ondisk.ErrUnsupported) {
			t.Errorf("a name of %d bytes: %v", len(name), err)
		}
	}
	m, err := w.NewMember("disk", 10)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.WriteFile("other", nil); err == nil {
		t.Error("two members at once")
	}
	if err := w.Finish(t.Context()); err == nil {
		t.Error("Finish with an open member")
	}
	for _, off := range []int64{1, -1} {
		if _, err := m.WriteAt([]byte{1}, off); err == nil {
			t.Errorf("WriteAt at %d of an empty member", off)
		}
	}
	if _, err := m.WriteAt(make([]byte, 11), 0); err == nil {
		t.Error("more than the member's size")
	}
	if err := m.Close(); err == nil {
		t.Error("less than the member's size")
	}
	if err := w.Finish(t.Context()); err == nil {
		t.Error("Finish after a failure")
	}

	w = NewWriter(imagefmttest.NewSink("x"), Options{})
	slot, err := w.Reserve("x.mf", 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := slot.Fill([]byte("long")); err == nil {
		t.Error("a slot took more than its size")
	}
	if err := w.Finish(t.Context()); err == nil {
		t.Error("Finish with an empty slot")
	}
	if err := w.Abort(); err != nil {
		t.Error(err)
	}
	if err := w.Finish(t.Context()); err == nil {
		t.Error("Finish after Abort")
	}
}

// TestFailingSink: whichever write fails, somebody is told.
func TestFailingSink(t *testing.T) {
	failure := errors.New("the sink fails")
	for fail := range 6 {
		sink, n := imagefmttest.NewSink("x"), 0
		sink.File().OnWrite = func(int64, int) error {
			if n++; n > fail {
				return failure
			}
			return nil
		}
		w := NewWriter(sink, Options{})
		err := func() error {
			m, err := w.NewMember("disk", -1)
			if err != nil {
				return err
			}
			_, err = m.WriteAt(make([]byte, 1<<20), 0)
			return errors.Join(err, m.Close(), w.WriteFile("x", make([]byte, 100_000)), w.Finish(context.Background()))
		}()
		if n > fail && !errors.Is(err, failure) {
			t.Errorf("write %d failed: %v", fail, err)
		}
	}
}
