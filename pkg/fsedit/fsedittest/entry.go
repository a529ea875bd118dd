package fsedittest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"maps"
	"slices"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Entry is all that a guest can tell about one name of a tree.
type Entry struct {
	Mode         filesys.Mode
	UID, GID     uint32
	Nlink        uint32
	Size         int64 // not of directories
	Hash         string
	Target       string
	Major, Minor uint32
	Mtime        int64 // nanoseconds since 1970, wrapping beyond 2262
	MtimeSec     int64
	Blocks       int64 // of 512 bytes; compared only between images
	Xattrs       map[string]string
}

// Tree maps paths without a leading slash, "." for the root, to entries.
type Tree map[string]Entry

// Ignore names what a comparison leaves out.
type Ignore struct {
	Blocks bool                // allocated blocks
	Path   func(p string) bool // these, with all below them
	Xattr  func(name string) bool
}

// Differences lists, sorted and in words, how got differs from want.
func Differences(want, got Tree, ign Ignore) []string {
	var out []string
	names := slices.Sorted(maps.Keys(want))
	for _, p := range names {
		if ign.path(p) {
			continue
		}
		w := want[p]
		g, ok := got[p]
		if !ok {
			out = append(out, fmt.Sprintf("%q is missing", p))
			continue
		}
		out = append(out, w.differences(p, g, ign)...)
	}
	for _, p := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[p]; !ok && !ign.path(p) {
			out = append(out, fmt.Sprintf("%q should not be there", p))
		}
	}
	return out
}

func (ign Ignore) path(p string) bool {
	if ign.Path == nil {
		return false
	}
	for i, c := range p {
		if c == '/' && ign.Path(p[:i]) {
			return true
		}
	}
	return ign.Path(p)
}

func (w Entry) differences(p string, g Entry, ign Ignore) []string {
	var out []string
	check := func(what string, w, g any) {
		if w != g {
			out = append(out, fmt.Sprintf("%q: %s %v, want %v", p, what, g, w))
		}
	}
	check("mode", w.Mode, g.Mode)
	check("uid", w.UID, g.UID)
	check("gid", w.GID, g.GID)
	check("nlink", w.Nlink, g.Nlink)
	check("size", w.Size, g.Size)
	check("content", w.Hash, g.Hash)
	check("target", w.Target, g.Target)
	check("major", w.Major, g.Major)
	check("minor", w.Minor, g.Minor)
	check("mtime", fmt.Sprintf("%d/%d", w.MtimeSec, w.Mtime), fmt.Sprintf("%d/%d", g.MtimeSec, g.Mtime))
	if !ign.Blocks {
		check("blocks", w.Blocks, g.Blocks)
	}
	check("xattrs", ign.xattrs(w), ign.xattrs(g))
	return out
}

func (ign Ignore) xattrs(e Entry) string {
	var s string
	for _, name := range slices.Sorted(maps.Keys(e.Xattrs)) {
		if ign.Xattr == nil || !ign.Xattr(name) {
			s += fmt.Sprintf("%q=%x ", name, e.Xattrs[name])
		}
	}
	return s
}

// Compare fails the test with the first differences of two trees.
func Compare(t testing.TB, want, got Tree, ign Ignore) {
	t.Helper()
	ds := Differences(want, got, ign)
	for i, d := range ds {
		if i == 20 {
			t.Errorf("and %d differences more", len(ds)-i)
			break
		}
		t.Error(d)
	}
}

// hashPage is the unit in which zeros are left out of a hash.
const hashPage = 4096

// content hashes a file without reading its holes: pages that are not zero,
// each with its place, and the size. A hole and written zeros are the same.
type content struct{ sum hash.Hash }

func newContent() content { return content{sha256.New()} }

// add hashes a range that starts at a multiple of hashPage.
func (c content) add(r io.ReaderAt, off, n int64) error {
	buf := make([]byte, 64*hashPage)
	for n > 0 {
		p := buf[:min(n, int64(len(buf)))]
		if err := ondisk.Full(r, p, off); err != nil {
			return err
		}
		for i := 0; i < len(p); i += hashPage {
			page := p[i:min(i+hashPage, len(p))]
			if !ondisk.IsZero(page) {
				fmt.Fprintf(c.sum, "%d:", off+int64(i))
				c.sum.Write(page)
			}
		}
		off += int64(len(p))
		n -= int64(len(p))
	}
	return nil
}

func (c content) String() string { return hex.EncodeToString(c.sum.Sum(nil)) }
