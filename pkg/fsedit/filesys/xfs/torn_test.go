//go:build linux

package xfs

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// TestTornEnd damages records near the end of a log, as a cut in the middle of
// their writing does: the kernel ends the log before them, and so do we.
func TestTornEnd(t *testing.T) {
	image := logRows[1].mkfs(t)
	dir, unmount := fsedittest.Mount(t, image, "logbsize=32k")
	churn(t, dir, 20)
	testtool.Run(t, "xfs_io", "-x", "-c", "shutdown -f", dir)
	unmount()
	v, err := newVolume(fsedittest.OpenImage(t, image), fuzzLimits)
	if err != nil {
		t.Fatal(err)
	}
	l := v.log()
	s, err := l.state(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var records []*recordHead // from the last on
	for pos := s.head; len(records) < 3; pos = records[len(records)-1].pos {
		h, err := l.before(pos, 1024)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, h)
	}
	for i, h := range records {
		for _, how := range []string{"bit", "lost"} {
			if how == "lost" && i != 1 || how == "bit" && i == 1 {
				continue
			}
			t.Run(fmt.Sprintf("%s-%d", how, i), func(t *testing.T) {
				torn := fsedittest.CopyImage(t, image)
				tear(t, l, h, torn, how)
				compareWithKernel(t, torn)
			})
		}
	}
}

// tear flips a bit in the middle of a record, or gives the second half of it the
// cycle of the round before, as if it had not been written.
func tear(t *testing.T, l *xlog, h *recordHead, image, how string) {
	t.Helper()
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := make([]byte, logBlock)
	for i := h.headers + h.blocks/2; i < h.headers+h.blocks; i++ {
		off := l.off + l.wrap(h.pos+i)<<logBlockBits
		if _, err := f.ReadAt(p, off); err != nil {
			t.Fatal(err)
		}
		if how == "bit" {
			p[100] ^= 1
		} else {
			clear(p)
			be.PutUint32(p, h.cycle-1)
		}
		if _, err := f.WriteAt(p, off); err != nil {
			t.Fatal(err)
		}
		if how == "bit" {
			return
		}
	}
}

// TestReplayWrapped stops a filesystem when its log goes around its end.
func TestReplayWrapped(t *testing.T) {
	image := logRows[1].mkfs(t)
	dir, unmount := fsedittest.Mount(t, image, "logbsize=32k")
	dev := fsedittest.OpenImage(t, image)
	for range 60 {
		churn(t, dir, 3)
		v, err := newVolume(dev, fuzzLimits)
		if err != nil {
			t.Fatal(err)
		}
		if s, err := v.log().state(t.Context()); err == nil && s.head < s.tail {
			testtool.Run(t, "xfs_io", "-x", "-c", "shutdown -f", dir)
			unmount()
			if s, err = v.log().state(t.Context()); err != nil || s.head >= s.tail {
				t.Fatalf("the log goes from %d to %d: %v", s.tail, s.head, err)
			}
			compareWithKernel(t, image)
			return
		}
	}
	t.Error("the log never went around its end")
}

// TestUnfinishedWork: what was promised and not done leaves the log as it is,
// and free space unknown.
func TestUnfinishedWork(t *testing.T) {
	o := loadSeed(t, "dirty.img.gz").mutated(nil, nil)
	v, err := newVolume(o, fuzzLimits)
	if err != nil {
		t.Fatal(err)
	}
	s, err := v.log().state(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := &logReplay{log: v.log(), v: v, dev: o}
	if err := r.run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	item := func(kind uint16, id byte) *logItem {
		return &logItem{want: 1, regions: [][]byte{append(le.AppendUint32(nil, uint32(kind)|1<<16), 1, 0, 0, 0, id, 0, 0, 0, 0, 0, 0, 0)}}
	}
	for _, it := range []*logItem{item(itemEFI, 1), item(itemCUI, 1), item(itemEFD, 1)} {
		if err := r.collect(&transaction{items: []*logItem{it}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.finish(s); err != nil {
		t.Fatal(err)
	}
	if _, err := v.FreeExtents(t.Context()); err == nil || !strings.Contains(err.Error(), "reference counts") || strings.Contains(err.Error(), "extents to free") {
		t.Error(err)
	}
	if len(v.Info().Notices) != 1 {
		t.Error(v.Info().Notices)
	}
	if again, err := v.log().state(t.Context()); err != nil || again.clean {
		t.Errorf("the log was cleared: %v", err)
	}
}
