//go:build linux

package fsedittest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Populate fills a folder, mostly a mounted image, with everything that a
// Linux tree may hold. The needed room is about 12 MiB.
type Populate struct {
	// Entries is the number of names in the large directory; 0 means 3000.
	Entries int
	// NoXattrs leaves extended attributes out, NoACLs only ACLs.
	NoXattrs, NoACLs bool
	// MaxXattr is the size of the largest value; 0 means 900 bytes.
	MaxXattr int
	// Far is where the data of the largest sparse file lies; 0 means 64 MiB.
	Far int64
	// OldTimes keeps times between 1970 and 2038, as inodes of 128 bytes must.
	OldTimes bool
	// SmallDevices keeps device numbers to 9 and 18 bits, as XFS must.
	SmallDevices bool
}

// Fill needs root. The random content comes from a fixed seed.
func (p Populate) Fill(t testing.TB, root string) {
	t.Helper()
	f := filler{t: t, root: root, rand: rand.New(rand.NewPCG(1, 2))}
	f.files()
	f.sparse(p)
	f.links()
	f.nodes(p)
	f.owners()
	f.names()
	f.directories(p)
	if !p.NoXattrs {
		f.xattrs(p)
	}
	f.fragmented()
	f.times(p)
}

type filler struct {
	t    testing.TB
	root string
	rand *rand.Rand
}

func (f *filler) path(name string) string { return filepath.Join(f.root, name) }

func (f *filler) must(what string, err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatalf("%s: %v", what, err)
	}
}

func (f *filler) bytes(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(f.rand.Uint32())
	}
	return p
}

func (f *filler) file(name string, content []byte) {
	f.t.Helper()
	f.must(name, os.WriteFile(f.path(name), content, 0o644))
}

func (f *filler) dir(name string) {
	f.t.Helper()
	f.must(name, os.MkdirAll(f.path(name), 0o755))
}

func (f *filler) files() {
	f.dir("files")
	for _, n := range []int{0, 1, 59, 60, 61, 100, 160, 1023, 1024, 1025, 4095, 4096, 4097, 65536, 300001, 1 << 20} {
		f.file(fmt.Sprintf("files/%d", n), f.bytes(n))
	}
}

// sparse makes holes at the start, in the middle and at the end, and space that
// is allocated but never written.
func (f *filler) sparse(p Populate) {
	f.dir("sparse")
	write := func(name string, size int64, at ...int64) {
		h, err := os.Create(f.path(name))
		f.must(name, err)
		defer h.Close()
		for _, off := range at {
			_, err := h.WriteAt(f.bytes(5000), off)
			f.must(name, err)
		}
		f.must(name, h.Truncate(size))
	}
	write("sparse/all-hole", 10<<20)
	write("sparse/leading", 1<<20+5000, 1<<20)
	write("sparse/trailing", 3<<20, 0)
	write("sparse/many", 2<<20, 8192, 100000, 262144, 1<<20+77)
	if p.Far == 0 {
		p.Far = 64 << 20
	}
	write("sparse/far", p.Far+10000, p.Far)
	for i, mode := range []uint32{0, unix.FALLOC_FL_KEEP_SIZE} {
		name := fmt.Sprintf("sparse/fallocate%d", i)
		h, err := os.Create(f.path(name))
		f.must(name, err)
		f.must(name, h.Truncate(100000))
		if err := unix.Fallocate(int(h.Fd()), mode, 8192, 200000); err != nil && err != unix.EOPNOTSUPP {
			f.must(name, err)
		}
		_, err = h.WriteAt([]byte("in the middle"), 50000)
		f.must(name, err)
		f.must(name, h.Close())
	}
}

func (f *filler) links() {
	f.dir("links/sub")
	f.file("links/file", []byte("linked\n"))
	f.must("link", os.Link(f.path("links/file"), f.path("links/hard")))
	f.must("link", os.Link(f.path("links/file"), f.path("links/sub/hard")))
	for _, n := range []int{1, 58, 59, 60, 61, 120, 155, 156, 157, 158, 900, 1000} {
		target := strings.Repeat("t", n)
		f.must("symlink", os.Symlink(target, f.path(fmt.Sprintf("links/sym%d", n))))
	}
	f.must("symlink", os.Symlink("/absolute/\xff\xfe", f.path("links/abs")))
}

func (f *filler) nodes(p Populate) {
	f.dir("nodes")
	for _, x := range []struct {
		name         string
		mode         uint32
		major, minor uint32
	}{
		{"fifo", unix.S_IFIFO | 0o600, 0, 0},
		{"socket", unix.S_IFSOCK | 0o755, 0, 0},
		{"null", unix.S_IFCHR | 0o666, 1, 3},
		{"sda1", unix.S_IFBLK | 0o660, 8, 1},
		{"wide", unix.S_IFBLK | 0o660, 259, 70000},
		{"high", unix.S_IFCHR | 0o600, 4095, 1048575},
	} {
		if p.SmallDevices && x.major > 511 {
			continue
		}
		f.must(x.name, unix.Mknod(f.path("nodes/"+x.name), x.mode, int(unix.Mkdev(x.major, x.minor))))
	}
}

func (f *filler) owners() {
	f.dir("owners")
	for i, id := range []int{0, 1000, 65534, 65535, 65536, 1<<31 - 2} {
		name := fmt.Sprintf("owners/%d", id)
		f.file(name, []byte("x"))
		f.must(name, os.Chown(f.path(name), id, id/2))
		f.must(name, unix.Chmod(f.path(name), []uint32{0o4755, 0o2755, 0o1777, 0, 0o7777, 0o640}[i]))
	}
}

func (f *filler) names() {
	f.dir("names")
	for _, n := range []string{
		strings.Repeat("n", 255), strings.Repeat("\xe4", 248), "\xff\xfe\x80", " ", "a\nb", "…", "..x", "-", "\\", "CON", "a\x01",
	} {
		f.file("names/"+n, []byte(n))
	}
}

// Names makes a directory of n empty files in root, and removes each seventh.
func Names(t testing.TB, root string, n int) {
	t.Helper()
	(&filler{t: t, root: root}).large("names", n)
}

func (f *filler) large(dir string, n int) {
	f.dir(dir)
	name := func(i int) string { return fmt.Sprintf("%s/entry-%d-%s", dir, i, strings.Repeat("p", i%40)) }
	for i := range n {
		f.file(name(i), nil)
	}
	for i := 0; i < n; i += 7 {
		f.must(name(i), os.Remove(f.path(name(i))))
	}
}

func (f *filler) directories(p Populate) {
	if p.Entries == 0 {
		p.Entries = 3000
	}
	f.large("large", p.Entries)
	f.dir("empty")
	f.dir("deep" + strings.Repeat("/d", 60))
	for i := range 20 {
		f.dir(fmt.Sprintf("small%d", i))
		for j := range i {
			f.file(fmt.Sprintf("small%d/%d", i, j), []byte{byte(j)})
		}
	}
}

func (f *filler) xattrs(p Populate) {
	if p.MaxXattr == 0 {
		p.MaxXattr = 900
	}
	f.dir("xattrs")
	set := func(name, attr string, value []byte) {
		f.must(name+" "+attr, unix.Lsetxattr(f.path(name), attr, value, 0))
	}
	for _, n := range []string{"small", "many", "big", "labelled", "shared1", "shared2"} {
		f.file("xattrs/"+n, []byte(n))
	}
	set("xattrs/small", "user.a", []byte("1"))
	set("xattrs/small", "user.empty", nil)
	for i := range 14 {
		set("xattrs/many", fmt.Sprintf("user.attr%02d", i), bytes.Repeat([]byte{byte('a' + i)}, i*3))
	}
	set("xattrs/big", "user.big", f.bytes(p.MaxXattr))
	set("xattrs/big", "trusted.small", []byte("t"))
	set("xattrs/labelled", "security.selinux", []byte("system_u:object_r:etc_t:s0\x00"))
	set("xattrs/labelled", "security.capability", []byte("\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	for _, n := range []string{"shared1", "shared2"} {
		set("xattrs/"+n, "user.shared", bytes.Repeat([]byte("s"), 300))
	}
	f.must("symlink", os.Symlink("t", f.path("xattrs/link")))
	set("xattrs/link", "trusted.onlink", []byte("on a link"))
	set("xattrs", "security.selinux", []byte("system_u:object_r:root_t:s0\x00"))
	if !p.NoACLs {
		f.acls(set)
	}
}

// acls sets an access and a default ACL in the form of setxattr(2): version 2,
// then tag, permissions and id of each entry.
func (f *filler) acls(set func(name, attr string, value []byte)) {
	const acl = "\x02\x00\x00\x00" +
		"\x01\x00\x07\x00\xff\xff\xff\xff" + "\x02\x00\x05\x00\xe8\x03\x00\x00" + "\x02\x00\x06\x00\x70\x11\x01\x00" +
		"\x04\x00\x05\x00\xff\xff\xff\xff" + "\x08\x00\x07\x00\x64\x00\x00\x00" +
		"\x10\x00\x07\x00\xff\xff\xff\xff" + "\x20\x00\x04\x00\xff\xff\xff\xff"
	f.file("xattrs/acl", []byte("acl"))
	f.dir("xattrs/acldir")
	set("xattrs/acl", "system.posix_acl_access", []byte(acl))
	set("xattrs/acldir", "system.posix_acl_access", []byte(acl))
	set("xattrs/acldir", "system.posix_acl_default", []byte(acl))
	f.file("xattrs/acldir/inherits", nil)
}

// fragmented writes every other block, so that no two lie together in the file.
func (f *filler) fragmented() {
	h, err := os.Create(f.path("fragmented"))
	f.must("fragmented", err)
	defer h.Close()
	for i := range 500 {
		_, err := h.WriteAt(f.bytes(1000), int64(i)*16384)
		f.must("fragmented", err)
	}
}

func (f *filler) times(p Populate) {
	f.dir("times")
	years := []int{1950, 1969, 1970, 2000, 2026, 2037, 2039, 2107, 2300, 2400}
	if p.OldTimes {
		years = []int{1970, 2000, 2026, 2037}
	}
	for _, y := range years {
		name := fmt.Sprintf("times/%d", y)
		f.file(name, nil)
		sec := time.Date(y, 6, 1, 12, 0, 0, 0, time.UTC).Unix()
		ts := []unix.Timespec{{Sec: sec, Nsec: 123456789}, {Sec: sec + 1, Nsec: 999999999}}
		f.must(name, unix.UtimesNanoAt(unix.AT_FDCWD, f.path(name), ts, 0))
	}
}
