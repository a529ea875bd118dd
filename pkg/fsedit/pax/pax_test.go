package pax

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// list reads an archive to its end.
func list(t testing.TB, p []byte) []Member {
	t.Helper()
	var out []Member
	for m, err := range Members(t.Context(), blockdev.FromBytes(p), ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, m)
	}
	return out
}

func contentOf(t testing.TB, d blockdev.Device) []byte {
	t.Helper()
	p, err := io.ReadAll(blockdev.NewReader(d))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestStandardLibrary has the standard library read what we write.
func TestStandardLibrary(t *testing.T) {
	headers := []Header{
		{Name: "./", Attr: filesys.Attr{Mode: filesys.Dir | 0o1777, Mtime: time.Unix(5, 7)}},
		{Name: "./" + strings.Repeat("long/", 60) + "f", Attr: filesys.Attr{Mode: filesys.Regular | 0o4755, Size: 3, Blocks: 8, UID: 1 << 31, GID: 7, Mtime: time.Unix(-2, 5e8)}},
		{Name: "./raw\xff", Attr: filesys.Attr{Mode: filesys.Symlink | 0o777, Mtime: time.Unix(1<<40, 0)}, Link: strings.Repeat("t", 300)},
		{Name: "./ü", Attr: filesys.Attr{Mode: filesys.CharDev | 0o600, Major: 4095, Minor: 1048575, Mtime: time.Unix(0, 0)}},
		{Name: "./hard", Attr: filesys.Attr{Mode: filesys.Regular | 0o644, Size: 3, Mtime: time.Unix(0, 0)}, Hard: true, Link: "./ü"},
		{Name: "./x", Attr: filesys.Attr{Mode: filesys.Fifo | 0o644, Atime: time.Unix(3, 4), Ctime: time.Unix(5, 6), Mtime: time.Unix(0, 0)},
			Xattrs: map[string][]byte{"user.a=b%": []byte("new\nline\x00"), "user.none": {}}},
	}
	var b bytes.Buffer
	w := NewWriter(&b, WriteOptions{AllTimes: true})
	for _, h := range headers {
		var c blockdev.Device
		if h.Attr.Mode.IsRegular() && !h.Hard {
			c = blockdev.FromBytes([]byte("abc"))
		}
		if err := w.Write(t.Context(), h, c); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil || b.Len()%recordSize != 0 {
		t.Fatal(b.Len(), err)
	}
	r := tar.NewReader(bytes.NewReader(b.Bytes()))
	for i, m := range list(t, b.Bytes()) {
		h, want := must(r.Next())(t), headers[i]
		if m.Name != want.Name || h.Name != want.Name || m.Link != want.Link || h.Linkname != want.Link || m.Hard != want.Hard {
			t.Errorf("%q: got %q -> %q, the library %q -> %q", want.Name, m.Name, m.Link, h.Name, h.Linkname)
		}
		if !m.Hard && m.Attr.Mode != want.Attr.Mode || filesys.ModeOf(h.FileInfo().Mode()).Perm() != want.Attr.Mode.Perm() {
			t.Errorf("%q: mode %o, %v", want.Name, m.Attr.Mode, h.FileInfo().Mode())
		}
		a := m.Attr
		if a.UID != want.Attr.UID || uint32(h.Uid) != want.Attr.UID || a.GID != want.Attr.GID || a.Major != want.Attr.Major || h.Devminor != int64(want.Attr.Minor) || a.Minor != want.Attr.Minor {
			t.Errorf("%q: %+v, %+v", want.Name, a, h)
		}
		if !a.Mtime.Equal(want.Attr.Mtime) || !h.ModTime.Equal(want.Attr.Mtime) || !a.Atime.Equal(want.Attr.Atime) || !a.Ctime.Equal(want.Attr.Ctime) {
			t.Errorf("%q: times %v, %v", want.Name, a, h)
		}
		if !maps.EqualFunc(m.Xattrs, want.Xattrs, bytes.Equal) {
			t.Errorf("%q: xattrs %q", want.Name, m.Xattrs)
		}
		if m.Content != nil && string(contentOf(t, m.Content)) != "abc" {
			t.Errorf("%q: content %q", want.Name, contentOf(t, m.Content))
		}
	}
	if _, err := r.Next(); err != io.EOF {
		t.Error(err)
	}
}

func must[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// holey is a device with known holes.
type holey struct {
	blockdev.Device
	data []segment
}

func (h holey) NextExtent(off, n int64) (blockdev.Extent, error) {
	for _, s := range h.data {
		switch {
		case s.off <= off && off < s.end():
			return blockdev.Extent{Off: off, Len: min(n, s.end()-off)}, nil
		case off < s.off:
			return blockdev.Extent{Off: off, Len: min(n, s.off-off), Kind: blockdev.Zero}, nil
		}
	}
	return blockdev.Extent{Off: off, Len: n, Kind: blockdev.Zero}, nil
}

// TestSparse writes random holes, which the standard library and our reader fill
// with zeros; the reader knows where they are.
func TestSparse(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 9))
	for range 50 {
		size := rng.Int64N(200000)
		p := make([]byte, size)
		var data []segment
		for off := rng.Int64N(30000); off < size; off += rng.Int64N(40000) {
			s := segment{off, 1 + min(rng.Int64N(20000), size-off-1)}
			for i := s.off; i < s.end(); i++ {
				p[i] = byte(1 + rng.IntN(255))
			}
			data = append(data, s)
			off = s.end()
		}
		var b bytes.Buffer
		w := NewWriter(&b, WriteOptions{})
		h := Header{Name: "./sparse", Attr: filesys.Attr{Mode: filesys.Regular, Size: size}}
		if err := w.Write(t.Context(), h, holey{blockdev.FromBytes(p), data}); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		m := list(t, b.Bytes())[0]
		if m.Name != h.Name || !bytes.Equal(contentOf(t, m.Content), p) {
			t.Fatal("our reader gives something else")
		}
		r := tar.NewReader(bytes.NewReader(b.Bytes()))
		if got := must(r.Next())(t); got.Name != h.Name || got.Size != size {
			t.Fatalf("the library: %+v", got)
		}
		if got := must(io.ReadAll(r))(t); !bytes.Equal(got, p) {
			t.Fatal("the library gives something else")
		}
		zeros := int64(0)
		for e, err := range blockdev.Extents(t.Context(), m.Content, 0, size) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Kind == blockdev.Zero {
				zeros += e.Len
			}
		}
		if stored := size - zeros; stored > int64(len(p)-bytes.Count(p, []byte{0}))+int64(len(data))*2*blockSize {
			t.Errorf("%d of %d bytes are stored", stored, size)
		}
	}
}

// drain reads all that can be read.
func drain(ctx context.Context, p []byte) {
	for m, err := range Members(ctx, blockdev.FromBytes(p), ReadOptions{}) {
		if err != nil {
			return
		}
		if m.Content != nil && m.Content.Size() < 1<<20 {
			io.Copy(io.Discard, blockdev.NewReader(m.Content))
		}
	}
}

func TestNumbers(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for range 2000 {
		n := int64(rng.Uint64()) >> rng.IntN(64)
		field := make([]byte, 12)
		putNumber(field, n)
		if got, err := parseNumber(field); err != nil || got != n {
			t.Fatalf("%d became %d, %v (%q)", n, got, err, field)
		}
		when := time.Unix(n>>20, rng.Int64N(1e9))
		if got, err := parseTime(formatTime(when)); err != nil || !got.Equal(when) {
			t.Fatalf("%v became %v, %v (%s)", when, got, err, formatTime(when))
		}
	}
	if _, err := parseNumber(append([]byte{0xbf}, bytes.Repeat([]byte{0xff}, 11)...)); err == nil {
		t.Error("a number of 94 bits was accepted")
	}
	for _, n := range []int64{math.MaxInt64, math.MinInt64} {
		field := make([]byte, 12)
		if putNumber(field, n); must(parseNumber(field))(t) != n {
			t.Error(n)
		}
	}
}

// TestRecords: the length counts its own digits, which is hard at 10, 100, 1000.
func TestRecords(t *testing.T) {
	for n := range 1200 {
		p := appendRecord(nil, "key", strings.Repeat("v", n))
		got, err := parseRecords(p)
		if err != nil || len(got) != 1 || got[0].key != "key" || len(got[0].value) != n {
			t.Fatalf("%d: %v, %v", n, got, err)
		}
	}
	for _, bad := range []string{"5 a=b", "6 a=b\nx", "4 a\n", "99 a=b\n", "-6 a=b\n", "x a=b\n", "6 =bb\n", " a=b\n"} {
		if got, err := parseRecords([]byte(bad)); err == nil {
			t.Errorf("%q is %v", bad, got)
		}
	}
}

func TestACLs(t *testing.T) {
	ids := func(word, name string) (uint32, bool) { return uint32(len(name)), name == "fred" }
	got, err := parseACL("user::rwx,user:fred:r-x\ngroup::---\n# comment\nm::rw-#effective\nother:bob:rw-:99\nu:bob:rw-:99\no::--x", ids)
	if err == nil {
		t.Errorf("\"other\" has no name: %q", got)
	}
	got, err = parseACL("user::rwx,user:fred:r-x\ngroup::---\n# comment\nm::rw-#effective\nu:bob:rw-:99\no::--x", ids)
	if err != nil {
		t.Fatal(err)
	}
	text, ok := aclText(got)
	if want := "user::rwx\nuser:4:r-x\ngroup::---\nmask::rw-\nuser:99:rw-\nother::--x\n"; !ok || text != want {
		t.Errorf("%q", text)
	}
	for _, odd := range []string{"", "\x02\x00\x00\x00", "\x03\x00\x00\x00\x01\x00\x07\x00\xff\xff\xff\xff",
		"\x02\x00\x00\x00\x01\x00\x07\x00\x01\x00\x00\x00", "\x02\x00\x00\x00\x99\x00\x07\x00\xff\xff\xff\xff"} {
		if text, ok := aclText([]byte(odd)); ok {
			t.Errorf("%q is %q", odd, text)
		}
	}
}

func TestLayoutSizes(t *testing.T) {
	for _, v := range []any{block{}, moreBlock{}} {
		if n := binary.Size(v); n != blockSize {
			t.Errorf("%T: %d bytes", v, n)
		}
	}
	if n := binary.Size(gnuBlock{}); n != blockSize-345 {
		t.Errorf("gnuBlock: %d bytes", n)
	}
}
