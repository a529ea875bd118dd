package vhdx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// replayed is what QEMU reads after it has replayed the log of a copy.
func (b *bench) replayed(name string) []byte {
	b.t.Helper()
	b.write("copy.vhdx", b.read(name))
	b.img("check -q -r all -f vhdx @copy.vhdx")
	return b.truth("copy.vhdx")
}

// expectReplay wants us to read what QEMU does, without changing the file.
func (b *bench) expectReplay(name string) imagefmt.Image {
	b.t.Helper()
	want := b.replayed(name)
	f := b.load(name)
	before := f.Get(name).Bytes()
	f.Get(name).OnWrite = func(off int64, n int) error { return fmt.Errorf("a write of %d at %d", n, off) }
	img := openIn(b.t, f, name)
	expectSame(b.t, name, readAll(b.t, img), want)
	expectMap(b.t, img)
	expectChecked(b.t, f.Get(name))
	if !bytes.Equal(before, f.Get(name).Bytes()) {
		b.t.Error("the source was changed")
	}
	if !img.Info().Dirty || len(img.Info().Notices) != 1 {
		b.t.Errorf("%+v", img.Info())
	}
	return img
}

// TestDirty has qemu-io fail between writing the log and writing the BAT.
func TestDirty(t *testing.T) {
	b := newBench(t)
	b.img("create -q -f vhdx -o block_size=1M @disk.vhdx 8M")
	b.io("disk.vhdx", "write -P 3 5M 64k", "write -P 4 2M 1M")
	h, err := readHeader(imagefmttest.NewSource("x", b.read("disk.vhdx")))
	if err != nil {
		t.Fatal(err)
	}
	r, _, err := readRegions(imagefmttest.NewSource("x", b.read("disk.vhdx")), h)
	if err != nil {
		t.Fatal(err)
	}
	failing := fmt.Sprintf(`json:{"driver":"vhdx","file":{"driver":"blkdebug","image":{"driver":"file","filename":%q},
		"inject-error":[{"event":"none","iotype":"write","errno":5,"sector":%d,"once":false}]}}`, b.path("disk.vhdx"), r.bat.off/512)
	if out, _ := testtool.Try(t, "qemu-io", "-c", "write -P 7 6M 64k", failing); !bytes.Contains([]byte(out), []byte("write failed")) {
		t.Fatalf("the write did not fail: %s", out)
	}
	if out, err := testtool.Try(t, "qemu-img", "info", "-f", "vhdx", b.path("disk.vhdx")); err == nil {
		t.Fatalf("QEMU finds no log: %s", out)
	}
	img := b.expectReplay("disk.vhdx")
	got := make([]byte, 64<<10)
	if err := ondisk.Full(img, got, 6<<20); err != nil || got[0] != 7 {
		t.Errorf("what the log promises is %#x (%v)", got[0], err)
	}
	_, err = Format{}.Update(context.Background(), b.load("disk.vhdx").Get("disk.vhdx"), imagefmt.OpenOptions{})
	if !errors.Is(err, ondisk.ErrUnsupported) {
		t.Errorf("Update: %v", err)
	}
}

// logWriter puts entries into the log of an image.
type logWriter struct {
	t   testing.TB
	f   *imagefmttest.MemFile
	hdr *header
	id  guid
	pos int64 // of the next entry
	seq uint64
	// tail is where the entries say that their sequence begins.
	tail int64
}

// newLogWriter marks the log of an image as one that has to be replayed.
func newLogWriter(t testing.TB, f *imagefmttest.MemFile, pos int64) *logWriter {
	t.Helper()
	h, err := readHeader(f)
	if err != nil {
		t.Fatal(err)
	}
	l := &logWriter{t: t, f: f, hdr: h, id: guid{1, 2, 3}, pos: pos, tail: pos, seq: 1<<33 + 5}
	raw := bytes.Clone(h.raw)
	copy(raw[48:], l.id[:])
	for i, off := range []int64{h.other, h.off} {
		le.PutUint64(raw[offSequence:], h.Sequence+uint64(i)+1)
		seal(raw)
		must(t, f, raw, off)
	}
	return l
}

// change is a page to write, or zeros when it has no data.
type change struct {
	off  int64
	n    int64 // of zeros
	data []byte
}

// entry is an entry in bytes.
func (l *logWriter) entry(changes ...change) []byte {
	head := make([]byte, ondisk.AlignUp(logHeaderSize+int64(len(changes))*descriptorSize, logSector))
	var sectors []byte
	for i, c := range changes {
		d := diskDescriptor{Magic: descZeroMagic, Offset: uint64(c.off), Sequence: l.seq}
		le.PutUint64(d.Lead[:], uint64(c.n))
		if c.data != nil {
			d.Magic = descDataMagic
			d.Lead, d.Trailing = [8]byte(c.data), [4]byte(c.data[logSector-sectorTrail:])
			s := bytes.Clone(c.data)
			copy(s, sectorMagic[:])
			le.PutUint32(s[4:], uint32(l.seq>>32))
			le.PutUint32(s[logSector-sectorTrail:], uint32(l.seq))
			sectors = append(sectors, s...)
		}
		encode(head[logHeaderSize+i*descriptorSize:], d)
	}
	p := append(head, sectors...)
	encode(p, diskLogEntry{
		Magic: entryMagic, Length: uint32(len(p)), Tail: uint32(l.tail), Sequence: l.seq, Descriptors: uint32(len(changes)),
		Log: l.id, Flushed: uint64(l.f.Size()), Last: uint64(l.f.Size()),
	})
	seal(p)
	return p
}

// put writes an entry to the ring.
func (l *logWriter) put(p []byte) {
	r := l.hdr.log()
	for i := 0; i < len(p); i += logSector {
		must(l.t, l.f, p[i:i+logSector], r.off+(l.pos+int64(i))%r.n)
	}
	l.pos = (l.pos + int64(len(p))) % r.n
	l.seq++
}

// withLog is an image whose log holds entries from position pos, with changes over
// changes. The same seed makes the same ones.
func withLog(t testing.TB, seed int64, entries int, pos int64) *imagefmttest.MemFile {
	t.Helper()
	rng := rand.New(rand.NewSource(seed))
	sink := imagefmttest.NewSink("disk.vhdx")
	create(t, sink, pattern(4<<20, seed), "block_size=1M")
	f := sink.File()
	payload := expectChecked(t, f).End - 4<<20
	l := newLogWriter(t, f, pos)
	for range entries {
		var changes []change
		for range rng.Intn(200) {
			off := payload + int64(rng.Intn(200))*logSector
			if rng.Intn(8) == 0 {
				changes = append(changes, change{off: off, n: int64(1+rng.Intn(20)) * logSector})
			} else if len(changes) < 20 {
				data := make([]byte, logSector)
				rng.Read(data)
				changes = append(changes, change{off: off, data: data})
			}
		}
		l.put(l.entry(changes...))
	}
	// What follows is torn: an entry whose last sector is an older one.
	torn := l.entry(change{off: payload, data: bytes.Repeat([]byte{9}, logSector)})
	torn[len(torn)-1] ^= 1
	l.put(torn)
	return f
}

// TestReplay: QEMU replays the same from logs with many entries, and from one
// whose entry goes round the end of the ring. Of a sequence that goes round QEMU
// drops what comes before the end, so that there the judge is the same sequence
// at the beginning of the ring.
func TestReplay(t *testing.T) {
	for seed := range int64(2) {
		b := newBench(t)
		f := withLog(t, seed, 6, seed*40<<10)
		b.save("disk.vhdx", f)
		b.expectReplay("disk.vhdx")
		want := readAll(t, openMem(t, f))
		for _, pos := range []int64{1<<20 - 20<<10, 1<<20 - 4096} {
			expectSame(t, "round the end", readAll(t, openMem(t, withLog(t, seed, 6, pos))), want)
		}
		b.save("disk.vhdx", withLog(t, seed, 1, 1<<20-8192))
		b.expectReplay("disk.vhdx")
	}
}

// TestReplayTables: region tables, metadata and BAT are read through the log, and
// the file grows to what the log says.
func TestReplayTables(t *testing.T) {
	b := newBench(t)
	content := pattern(4<<20, 1)
	sink := imagefmttest.NewSink("disk.vhdx")
	create(t, sink, content, "block_size=1M")
	f := sink.File()
	l := newLogWriter(t, f, 0)
	h := l.hdr
	r, _, err := readRegions(f, h)
	if err != nil {
		t.Fatal(err)
	}
	var changes []change
	for _, off := range []int64{regionOffset1, regionOffset2, r.metadata.off, r.metadata.off + metadataItems, r.bat.off} {
		page, err := ondisk.Bytes(f, off, logSector)
		if err != nil {
			t.Fatal(err)
		}
		changes = append(changes, change{off: off, data: page})
	}
	l.put(l.entry(changes...))
	for _, c := range changes {
		must(t, f, make([]byte, logSector), c.off)
	}
	b.save("disk.vhdx", f)
	img := openIn(t, b.load("disk.vhdx"), "disk.vhdx")
	imagefmttest.Device(t, img, content)
}

// TestLogHostile: logs that were made to mislead.
func TestLogHostile(t *testing.T) {
	fresh := func() *imagefmttest.MemFile {
		sink := imagefmttest.NewSink("x")
		create(t, sink, pattern(1<<20, 1), "block_size=1M")
		return sink.File()
	}
	ones := bytes.Repeat([]byte{1}, logSector)
	tests := []struct {
		name string
		make func(l *logWriter)
		want error
	}{
		{"no entry", func(*logWriter) {}, nil},
		{"descriptor count", func(l *logWriter) {
			p := l.entry(change{off: 4 << 20, data: ones})
			le.PutUint32(p[24:], 1<<30)
			seal(p)
			l.put(p)
		}, nil},
		{"tail elsewhere", func(l *logWriter) {
			l.tail = 8192 * 3
			l.put(l.entry(change{off: 4 << 20, data: ones}))
		}, nil},
		{"length", func(l *logWriter) {
			p := l.entry(change{off: 4 << 20, data: ones})
			le.PutUint32(p[8:], 2<<20)
			seal(p)
			l.put(p)
		}, nil},
		{"another id", func(l *logWriter) {
			l.id[0]++
			l.put(l.entry(change{off: 4 << 20, data: ones}))
		}, nil},
		{"grown", func(l *logWriter) {
			p := l.entry()
			le.PutUint64(p[56:], 1<<40)
			seal(p)
			l.put(p)
		}, nil},
		{"size beyond all", func(l *logWriter) {
			p := l.entry()
			le.PutUint64(p[56:], 1<<63)
			seal(p)
			l.put(p)
		}, ondisk.ErrCorrupt},
		{"truncated", func(l *logWriter) {
			p := l.entry()
			le.PutUint64(p[48:], uint64(l.f.Size())+mib)
			seal(p)
			l.put(p)
		}, ondisk.ErrCorrupt},
		{"offset beyond all", func(l *logWriter) { l.put(l.entry(change{off: -4096, data: ones})) }, ondisk.ErrCorrupt},
		{"zeros beyond all", func(l *logWriter) { l.put(l.entry(change{off: 4096, n: -4096})) }, ondisk.ErrCorrupt},
		{"zeros over everything", func(l *logWriter) { l.put(l.entry(change{off: 0, n: 1 << 40})) }, ondisk.ErrCorrupt},
	}
	for _, tt := range tests {
		f := fresh()
		tt.make(newLogWriter(t, f, 0))
		img, err := Format{}.Open(context.Background(), f, imagefmt.OpenOptions{})
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
		if err == nil {
			expectSame(t, tt.name, readAll(t, img), pattern(1<<20, 1))
		}
	}
}

// TestLogOverlap: entries that overlap in each sector of the log would be summed
// again and again.
func TestLogOverlap(t *testing.T) {
	sink := imagefmttest.NewSink("x")
	create(t, sink, nil, "log_size=8M")
	l := newLogWriter(t, sink.File(), 0)
	for pos := int64(0); pos < 8<<20; pos += logSector {
		p := l.entry()
		le.PutUint32(p[8:], 8<<20)
		l.pos = pos
		l.put(p)
	}
	reads := int64(0)
	sink.File().OnRead = func(_ int64, n int) error { reads += int64(n); return nil }
	_, err := Format{}.Open(context.Background(), sink.File(), imagefmt.OpenOptions{})
	if !errors.Is(err, ondisk.ErrCorrupt) || reads > 64<<20 {
		t.Errorf("%v after reading %d bytes", err, reads)
	}
}
