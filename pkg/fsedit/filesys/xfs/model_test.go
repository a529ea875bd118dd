//go:build linux

package xfs

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
	"golang.org/x/sys/unix"
)

// modelOps is how many random operations the rows share; VMCONV_OPS and
// VMCONV_SOAK change it, VMCONV_SEED repeats a run.
func modelOps() int {
	if n, err := strconv.Atoi(os.Getenv("VMCONV_OPS")); err == nil {
		return n
	}
	if os.Getenv("VMCONV_SOAK") != "" {
		return 20000
	}
	return 2000
}

func modelSeed() uint64 {
	if n, err := strconv.ParseUint(os.Getenv("VMCONV_SEED"), 0, 64); err == nil {
		return n
	}
	return uint64(time.Now().UnixNano())
}

// modelRows are filesystems that the model edits.
var modelRows = []mkfsRow{
	{name: "default"},
	{name: "rmapbt-nrext64", args: "-m rmapbt=1 -i nrext64=1"},
	{name: "1k-rmapbt", args: "-b size=1024 -m rmapbt=1"},
	{name: "rhel7", args: "-m finobt=0,reflink=0,bigtime=0,inobtcount=0 -i sparse=0", populate: oldTimes},
	{name: "dir8k", args: "-n size=8192"},
	{name: "1k-dir64k", args: "-b size=1024 -n size=65536"},
	{name: "i2048", args: "-i size=2048"},
	{name: "ag8-i1024-rmapbt", args: "-d agcount=8 -i size=1024 -m rmapbt=1", size: 160},
	{name: "64k", args: "-b size=65536 -m rmapbt=1", size: 512},
	{name: "2k", args: "-b size=2048 -m reflink=0"},
	{name: "sector4k", args: "-s size=4096"},
}

// TestModel applies random operations to an image by our editor and, by system
// calls, to its twin under a kernel mount, and compares what comes out. The number of
// operations is that of all rows together.
func TestModel(t *testing.T) {
	seed := modelSeed()
	each := max(20, (modelOps()+len(modelRows)-1)/len(modelRows))
	for _, row := range testtool.Some(8, modelRows) {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			h := fnv.New64()
			h.Write([]byte(row.name))
			t.Logf("VMCONV_SEED=%d, %d operations", seed, each)
			runModel(t, row, rand.New(rand.NewPCG(seed, h.Sum64())), each)
		})
	}
}

func runModel(t *testing.T, row mkfsRow, r *rand.Rand, ops int) {
	start := time.Now()
	ours := row.mkfs(t)
	dir, unmount := fsedittest.Mount(t, ours, row.mount)
	small := row.populate
	small.Entries = 600
	small.SmallDevices = true
	small.Fill(t, dir)
	if !strings.Contains(row.args, "reflink=0") {
		if err := os.WriteFile(path.Join(dir, "big"), bytes.Repeat([]byte("0123456789abcdef"), 1<<17), 0o644); err != nil {
			t.Fatal(err)
		}
		share(t, dir)
	}
	unmount()
	twin := fsedittest.CopyImage(t, ours)
	dir, unmount = fsedittest.Mount(t, twin, row.mount)
	m := newModel(r, fsedittest.ReadHost(t, dir), row)
	overlay := fsedittest.OpenWritable(t, ours)
	v := open(t, overlay)
	m.kernel = hostWorld{dir}
	var staged fsedittest.Tree
	for i := 0; i < ops; {
		e, err := v.Edit(filesys.EditOptions{Now: time.Now(), Rand: r.Uint32})
		if err != nil {
			t.Fatal(err)
		}
		m.ours = editWorld{e}
		for range 1 + r.IntN(40) {
			if i++; i > ops {
				break
			}
			if err := m.step(); err != nil {
				t.Fatalf("operation %d: %s: %v", i, m.what, err)
			}
		}
		if i >= ops {
			staged = fsedittest.ReadFS(t, e)
		}
		if err := e.Commit(t.Context()); err != nil {
			t.Fatalf("after operation %d: commit: %v", i, err)
		}
	}
	unmount()
	fsedittest.Save(t, overlay, ours)
	discardFree(t, v, ours)
	checkRepair(t, ours)
	ign := fsedittest.Ignore{Blocks: true, Xattr: func(name string) bool {
		return name == "security.capability" || kernelOnly.Xattr(name) // chown(2) drops it
	}}
	want := recent(readMounted(t, twin), start)
	fsedittest.Compare(t, want, recent(readMounted(t, ours), start), ign)
	root, _ := v.Root("")
	after := recent(fsedittest.ReadFS(t, root), start)
	fsedittest.Compare(t, want, after, ign)
	fsedittest.Compare(t, after, recent(staged, start), fsedittest.Ignore{Blocks: true})
	kernelEdits(t, ours, row.mount)
}

// discardFree punches what is free out of an image: nothing may miss it.
func discardFree(t *testing.T, v *volume, image string) {
	t.Helper()
	free, err := v.FreeExtents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, r := range free {
		if err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, r.Off, r.Len); err != nil {
			t.Fatal(err)
		}
	}
}

func readMounted(t *testing.T, image string) fsedittest.Tree {
	dir, unmount := fsedittest.Mount(t, image, "ro")
	defer unmount()
	return fsedittest.ReadHost(t, dir)
}

// recent makes all times since start the same: two worlds do not act at once.
func recent(tree fsedittest.Tree, start time.Time) fsedittest.Tree {
	for p, e := range tree {
		if e.MtimeSec >= start.Unix()-5 && e.MtimeSec <= time.Now().Unix()+5 {
			e.MtimeSec, e.Mtime = 0, 0
			tree[p] = e
		}
	}
	return tree
}

// model knows the names of both worlds.
type model struct {
	rand         *rand.Rand
	kernel, ours world
	kinds        map[string]filesys.Mode
	oldTimes     bool
	noXattrs     bool
	what         string
	full         func(world) // makes the worlds the same when one found no room
	next         int
}

func newModel(r *rand.Rand, tree fsedittest.Tree, row mkfsRow) *model {
	m := &model{rand: r, kinds: map[string]filesys.Mode{}, oldTimes: row.populate.OldTimes, noXattrs: row.populate.NoXattrs}
	for p, e := range tree {
		if p != "lost+found" && !strings.HasPrefix(p, "xattrs/acldir") && !strings.HasPrefix(p, "deep/") {
			m.kinds[p] = e.Mode.Type()
		}
	}
	return m
}

// pick returns a path of one of the kinds; favours what the model made.
func (m *model) pick(kinds ...filesys.Mode) string {
	var made, all []string
	for _, p := range slices.Sorted(maps.Keys(m.kinds)) {
		if len(kinds) > 0 && !slices.Contains(kinds, m.kinds[p]) || p == "." && !slices.Contains(kinds, filesys.Dir) {
			continue
		}
		all = append(all, p)
		if strings.HasPrefix(path.Base(p), "m") {
			made = append(made, p)
		}
	}
	if len(made) > 0 && m.rand.IntN(3) > 0 {
		return made[m.rand.IntN(len(made))]
	}
	if len(all) == 0 {
		return "none"
	}
	return all[m.rand.IntN(len(all))]
}

// fresh is a new name in some directory, sometimes a long or strange one.
func (m *model) fresh() string {
	m.next++
	name := fmt.Sprintf("m%d", m.next)
	switch m.rand.IntN(8) {
	case 0:
		name += strings.Repeat("\xe9", 255-len(name))
	case 1:
		name += strings.Repeat("x", m.rand.IntN(100))
	case 2:
		name += "\x01 \xff\n"
	}
	dir := m.pick(filesys.Dir)
	if m.rand.IntN(4) == 0 && m.kinds["large"] == filesys.Dir {
		dir = "large"
	}
	return path.Join(dir, name)
}

func (m *model) content() *sparse {
	sizes := []int64{0, 1, 100, 1023, 1024, 4096, 4097, 20000, 100000}
	c := &sparse{size: sizes[m.rand.IntN(len(sizes))], parts: map[int64][]byte{}}
	if m.rand.IntN(4) == 0 {
		c.size = 1 << 20
	}
	if m.rand.IntN(2) == 0 {
		c.parts[0] = m.bytes(c.size)
		return c
	}
	for at := int64(0); at < c.size; {
		n := min(c.size-at, 1+m.rand.Int64N(c.size/4+1))
		if m.rand.IntN(2) == 0 {
			c.parts[at] = m.bytes(min(n, 20000))
		}
		at += n
	}
	return c
}

func (m *model) bytes(n int64) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(m.rand.Uint32())
	}
	return p
}

// step runs one random operation in both worlds.
func (m *model) step() error {
	ops := []func() (what string, op func(world) error){
		m.create, m.create, m.create, m.write, m.write, m.write, m.mkdir, m.symlink, m.mknod, m.link,
		m.rename, m.rename, m.rename, m.remove, m.remove, m.remove, m.chmod, m.chown, m.utimes,
	}
	if !m.noXattrs {
		ops = append(ops, m.setXattr, m.setXattr, m.setXattr, m.removeXattr, m.setACL)
	}
	m.full = nil
	what, op := ops[m.rand.IntN(len(ops))]()
	m.what = what
	kernel, ours := op(m.kernel), op(m.ours)
	if m.full != nil && (errors.Is(kernel, unix.ENOSPC) || errors.Is(ours, ondisk.ErrNoSpace)) {
		m.full(m.kernel)
		m.full(m.ours)
		return nil
	}
	return sameError(kernel, ours)
}

func (m *model) perm() filesys.Mode { return filesys.Mode(m.rand.IntN(0o1000)) }

// noting runs an operation and, when the kernel did it, changes what is known.
func (m *model) noting(op func(world) error, note func()) func(world) error {
	return func(w world) error {
		err := op(w)
		if err == nil && w == m.kernel {
			note()
		}
		return err
	}
}

func (m *model) create() (string, func(world) error) {
	name, perm := m.fresh(), m.perm()
	if m.rand.IntN(10) == 0 {
		name = m.pick() // taken
	}
	return fmt.Sprintf("create %q", name), m.noting(
		func(w world) error { return w.create(name, perm) },
		func() { m.kinds[name] = filesys.Regular })
}

func (m *model) write() (string, func(world) error) {
	name, c := m.pick(filesys.Regular), m.content()
	return fmt.Sprintf("write %q %d", name, c.size), func(w world) error { return w.write(name, c) }
}

func (m *model) mkdir() (string, func(world) error) {
	name, perm := m.fresh(), m.perm()|0o700
	return fmt.Sprintf("mkdir %q", name), m.noting(
		func(w world) error { return w.mkdir(name, perm) },
		func() { m.kinds[name] = filesys.Dir })
}

func (m *model) symlink() (string, func(world) error) {
	lengths := []int{1, 30, 150, 296, 297, 336, 337, 500, 1000}
	name, target := m.fresh(), strings.Repeat("t", lengths[m.rand.IntN(len(lengths))])
	return fmt.Sprintf("symlink %q", name), m.noting(
		func(w world) error { return w.symlink(name, target) },
		func() { m.kinds[name] = filesys.Symlink })
}

func (m *model) mknod() (string, func(world) error) {
	types := []filesys.Mode{filesys.Fifo, filesys.Socket, filesys.CharDev, filesys.BlockDev}
	name, mode := m.fresh(), types[m.rand.IntN(4)]|m.perm()
	var major, minor uint32
	if mode.IsDevice() {
		major, minor = uint32(m.rand.IntN(1<<9)), uint32(m.rand.IntN(1<<uint(m.rand.IntN(19))))
	}
	return fmt.Sprintf("mknod %q %v %d %d", name, mode, major, minor), m.noting(
		func(w world) error { return w.mknod(name, mode, major, minor) },
		func() { m.kinds[name] = mode.Type() })
}

func (m *model) link() (string, func(world) error) {
	old, name := m.pick(filesys.Regular, filesys.Symlink, filesys.Fifo, filesys.CharDev), m.fresh()
	return fmt.Sprintf("link %q %q", old, name), m.noting(
		func(w world) error { return w.link(old, name) },
		func() { m.kinds[name] = m.kinds[old] })
}

func (m *model) rename() (string, func(world) error) {
	old, name := m.pick(), m.fresh()
	if m.rand.IntN(3) == 0 {
		name = m.pick()
	}
	if m.rand.IntN(4) == 0 {
		old = m.pick(filesys.Dir)
	}
	if old == "." || name == "." || old == "large" {
		old, name = "none", "none2"
	}
	if m.rand.IntN(20) == 0 && m.kinds[old] != filesys.Symlink { // which the kernel would follow
		name = path.Join(old, "below")
	}
	return fmt.Sprintf("rename %q %q", old, name), m.noting(
		func(w world) error { return w.rename(old, name) },
		func() {
			if !m.sameFile(old, name) {
				m.moved(old, name)
			}
		})
}

// sameFile reports whether a rename did nothing, as between names of one file.
func (m *model) sameFile(old, name string) bool {
	_, err := os.Lstat(m.kernel.(hostWorld).path(old))
	return err == nil || old == name
}

func (m *model) moved(old, name string) {
	for p, kind := range maps.Clone(m.kinds) {
		if p == old || strings.HasPrefix(p, old+"/") {
			delete(m.kinds, p)
			m.kinds[name+strings.TrimPrefix(p, old)] = kind
		}
	}
}

func (m *model) remove() (string, func(world) error) {
	name := m.pick()
	if m.rand.IntN(5) == 0 {
		name = m.pick(filesys.Dir)
	}
	if name == "." {
		name = "none"
	}
	return fmt.Sprintf("remove %q", name), m.noting(
		func(w world) error { return w.remove(name) },
		func() { delete(m.kinds, name) })
}

func (m *model) chmod() (string, func(world) error) {
	name, perm := m.pick(filesys.Regular, filesys.Dir, filesys.Fifo), m.perm()
	if m.kinds[name] == filesys.Regular && m.rand.IntN(4) == 0 {
		perm |= 0o6000
	}
	return fmt.Sprintf("chmod %q %o", name, perm), func(w world) error { return w.chmod(name, perm) }
}

func (m *model) chown() (string, func(world) error) {
	name, uid, gid := m.pick(), m.rand.Uint32N(1<<31), m.rand.Uint32N(70000)
	return fmt.Sprintf("chown %q", name), func(w world) error { return w.chown(name, uid, gid) }
}

func (m *model) utimes() (string, func(world) error) {
	name := m.pick()
	sec := func() time.Time {
		if m.oldTimes {
			return time.Unix(m.rand.Int64N(1<<30), 0)
		}
		return time.Unix(m.rand.Int64N(1<<34)-1<<31, m.rand.Int64N(1e9))
	}
	a, mt := sec(), sec()
	return fmt.Sprintf("utimes %q %v", name, mt.Unix()), func(w world) error { return w.utimes(name, a, mt) }
}

func (m *model) xattr() (name, key string) {
	name = m.pick(filesys.Regular, filesys.Dir, filesys.Symlink)
	keys := []string{"trusted.a", "trusted.some-longer-name", "security.selinux"}
	if m.kinds[name] != filesys.Symlink {
		keys = append(keys, "user.b", "user.c", "user.\xff")
	}
	return name, keys[m.rand.IntN(len(keys))]
}

func (m *model) setXattr() (string, func(world) error) {
	name, key := m.xattr()
	value := m.bytes(m.rand.Int64N(60))
	switch m.rand.IntN(4) {
	case 0:
		value = bytes.Repeat([]byte("same"), 20)
	case 1:
		value = m.bytes(m.rand.Int64N(120))
	case 2:
		value = m.bytes(m.rand.Int64N(600))
	case 3:
		if m.rand.IntN(3) == 0 {
			value = m.bytes(m.rand.Int64N(1<<16 + 1))
		}
	}
	m.full = func(w world) { w.removeXattr(name, key) }
	return fmt.Sprintf("setxattr %q %q %d", name, key, len(value)), func(w world) error { return w.setXattr(name, key, value) }
}

func (m *model) removeXattr() (string, func(world) error) {
	name, key := m.xattr()
	return fmt.Sprintf("removexattr %q %q", name, key), func(w world) error {
		err := w.removeXattr(name, key)
		if err != nil {
			return nil // the names of the errors differ
		}
		return err
	}
}

// setACL sets an access ACL of random permissions; one of three entries only
// becomes the mode.
func (m *model) setACL() (string, func(world) error) {
	name := m.pick(filesys.Regular, filesys.Dir)
	acl := le.AppendUint32(nil, aclVersionSyscall)
	add := func(tag uint16, id uint32) {
		acl = le.AppendUint16(acl, tag)
		acl = le.AppendUint16(acl, uint16(m.rand.IntN(8)))
		acl = le.AppendUint32(acl, id)
	}
	named := m.rand.IntN(3)
	add(aclUserObj, aclNoID)
	for i := range named {
		add(aclUser, uint32(1000+i))
	}
	add(aclGroupObj, aclNoID)
	if named > 0 {
		add(aclGroup, 100)
		add(aclMask, aclNoID)
	}
	add(aclOther, aclNoID)
	m.full = func(w world) {
		w.removeXattr(name, "system.posix_acl_access")
		w.chmod(name, 0o644)
	}
	return fmt.Sprintf("setacl %q %d", name, named), func(w world) error {
		return w.setXattr(name, "system.posix_acl_access", acl)
	}
}

// kernelEdits has the kernel change an image of ours: mistakes in bitmaps and
// counts show only when something is allocated or freed.
func kernelEdits(t *testing.T, image, mount string) {
	t.Helper()
	dir, unmount := fsedittest.Mount(t, image, mount)
	if err := os.WriteFile(path.Join(dir, "by-the-kernel"), bytes.Repeat([]byte("kernel"), 50000), 0o644); err != nil {
		t.Error(err)
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Error(err)
	}
	removed := 0
	for _, d := range list {
		if d.Name() != "by-the-kernel" && d.Name() != "lost+found" && removed < 5 {
			if err := os.RemoveAll(path.Join(dir, d.Name())); err != nil {
				t.Error(err)
			}
			removed++
		}
	}
	device := loopOf(t, dir)
	unmount()
	noKernelErrors(t, device)
	checkRepair(t, image)
}
