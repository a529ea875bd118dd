//go:build linux

package fat

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// TestModel applies random operations by our editor, and to a folder of the
// host. What mcopy finds in the image must be what is in the folder, and
// fsck.fat must find nothing after each session.
func TestModel(t *testing.T) {
	seed, each := modelSeed(), max(20, modelOps()/4)
	for _, row := range mkfsRows {
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
	image := row.mkfs(t)
	row.fill(t, image)
	twin := row.extract(t, image)
	m := &model{rand: r, dir: twin, kinds: map[string]filesys.Mode{}, now: testNow}
	for p, e := range fsedittest.ReadHost(t, twin) {
		m.kinds[p] = e.Mode.Type()
	}
	o := fsedittest.OpenWritable(t, image)
	v := open(t, o)
	var staged fsedittest.Tree
	for i := 0; i < ops; {
		m.now = m.now.Add(time.Hour)
		e, err := v.Edit(filesys.EditOptions{Now: m.now})
		must(t, err)
		m.ours = world{e}
		for range 1 + r.IntN(80) {
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
		fsedittest.Save(t, o, image)
		if checkFAT(t, image); t.Failed() {
			t.Fatalf("after operation %d", i)
		}
	}
	free, err := v.FreeExtents(t.Context())
	must(t, err)
	scribble(t, image, free)
	want := onlyContent(t, fsedittest.ReadHost(t, twin))
	fsedittest.Compare(t, row.shown(want), onlyContent(t, fsedittest.ReadHost(t, row.extract(t, image))), fsedittest.Ignore{})
	root, _ := v.Root("")
	after := fsedittest.ReadFS(t, root)
	fsedittest.Compare(t, want, onlyContent(t, after), fsedittest.Ignore{})
	fsedittest.Compare(t, after, staged, fsedittest.Ignore{})
	fsedittest.Compare(t, after, readAgain(t, image), fsedittest.Ignore{})
	if !row.few {
		mtoolsEdit(t, image)
	}
	t.Logf("%d names at the end, %d times full, %d refused", len(m.kinds), m.full, m.refused)
}

// shown is a tree with the names that mtools give: they write "_" for each half
// of a surrogate pair.
func (r mkfsRow) shown(tree fsedittest.Tree) fsedittest.Tree {
	if r.few {
		return tree
	}
	out := fsedittest.Tree{}
	for p, e := range tree {
		out[strings.ReplaceAll(p, "😀", "__")] = e
	}
	return out
}

func readAgain(t *testing.T, image string) fsedittest.Tree {
	root, _ := open(t, fsedittest.OpenImage(t, image)).Root("")
	return fsedittest.ReadFS(t, root)
}

// scribble fills ranges of an image with garbage.
func scribble(t testing.TB, image string, ranges []filesys.Range) {
	t.Helper()
	f, err := os.OpenFile(image, os.O_WRONLY, 0)
	must(t, err)
	defer f.Close()
	garbage := noise(9, 1<<16)
	for _, r := range ranges {
		for off := r.Off; off < r.Off+r.Len && off < r.Off+1<<20; off += int64(len(garbage)) {
			_, err := f.WriteAt(garbage[:min(int64(len(garbage)), r.Off+r.Len-off)], off)
			must(t, err)
		}
	}
}

// mtoolsEdit has mtools change an image of ours: mistakes in the tables show only
// when something is allocated or freed.
func mtoolsEdit(t *testing.T, image string) {
	t.Helper()
	p := filepath.Join(t.TempDir(), "by mtools")
	must(t, os.WriteFile(p, noise(3, 5000), 0o644))
	for _, d := range strings.Fields(mtools(t, "mdir", image, "-b", "::")) {
		if strings.HasPrefix(d, "::/m") && !strings.HasSuffix(d, "/") {
			tryMtools(t, "mdel", image, d)
		}
	}
	if out, err := tryMtools(t, "mcopy", image, "-n", p, "::"); err != nil && !strings.Contains(out, "full") {
		t.Errorf("mcopy: %v\n%s", err, out)
	}
	checkFAT(t, image)
}

// model knows the names of both worlds.
type model struct {
	rand          *rand.Rand
	dir           string // the twin
	ours          world
	kinds         map[string]filesys.Mode
	now           time.Time
	what          string
	next          int
	full, refused int
}

// pick returns a path of one of the kinds; favours what the model made.
func (m *model) pick(kinds ...filesys.Mode) string {
	var made, all []string
	for _, p := range slices.Sorted(maps.Keys(m.kinds)) {
		if len(kinds) > 0 && !slices.Contains(kinds, m.kinds[p]) || p == "." && !slices.Contains(kinds, filesys.Dir) {
			continue
		}
		all = append(all, p)
		if strings.HasPrefix(strings.ToLower(path.Base(p)), "m") {
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

// fresh is a new name, sometimes a long or strange one.
func (m *model) fresh() string {
	m.next++
	name := fmt.Sprintf("m%d", m.next)
	switch m.rand.IntN(10) {
	case 0:
		name += strings.Repeat("é", (255-len(name))/2)
	case 1:
		name += strings.Repeat("x", m.rand.IntN(100))
	case 2:
		name += " 😀 €;+,=[].ext.ension"
	case 3:
		name = fmt.Sprintf("M%d.EFI", m.next)
	case 4:
		name = fmt.Sprintf("my very long name %d.conf", m.next)
	case 5:
		name = fmt.Sprintf("Mixed%d.Txt", m.next)
	case 6:
		name = ".m" + name
	}
	return path.Join(m.pick(filesys.Dir), name)
}

func (m *model) host(name string) string { return filepath.Join(m.dir, name) }

// step runs one random operation in both worlds.
func (m *model) step() error {
	ops := []func() (what string, ours, twin func() error, note func()){
		m.create, m.create, m.create, m.rewrite, m.rewrite, m.rewrite, m.mkdir, m.rename, m.rename, m.rename,
		m.remove, m.remove, m.remove, m.utimes,
	}
	what, ours, twin, note := ops[m.rand.IntN(len(ops))]()
	m.what = what
	err := ours()
	if errors.Is(err, ondisk.ErrNoSpace) {
		m.full++
		return nil // the twin has room; nothing may have changed
	}
	hostErr := twin()
	if (err == nil) != (hostErr == nil) {
		return fmt.Errorf("the host says %v, we say %v", hostErr, err)
	}
	for _, e := range []error{fs.ErrNotExist, fs.ErrExist, filesys.ErrNotEmpty, filesys.ErrIsDir, filesys.ErrNotDir} {
		if errors.Is(hostErr, e) != errors.Is(err, e) {
			return fmt.Errorf("the host says %v, we say %v", hostErr, err)
		}
	}
	if err == nil {
		note()
	} else {
		m.refused++
	}
	return nil
}

// stamp gives a file of the twin the time of the session.
func (m *model) stamp(name string) error { return os.Chtimes(m.host(name), m.now, m.now) }

func (m *model) create() (string, func() error, func() error, func()) {
	name := m.fresh()
	if m.rand.IntN(10) == 0 {
		name = m.pick() // taken
	}
	return "create " + strconv.Quote(name),
		func() error {
			return m.ours.in(name, func(dir filesys.Node, base string) error {
				_, err := m.ours.Create(dir, base, filesys.NewAttr{Mode: 0o644})
				return err
			})
		},
		func() error {
			f, err := os.OpenFile(m.host(name), os.O_CREATE|os.O_EXCL, 0o644)
			if err != nil {
				return err
			}
			f.Close()
			return m.stamp(name)
		},
		func() { m.kinds[name] = filesys.Regular }
}

func (m *model) rewrite() (string, func() error, func() error, func()) {
	sizes := []int{0, 1, 100, 511, 512, 513, 4096, 4097, 20000, 100000, 300000}
	name, p := m.pick(filesys.Regular), noise(int(m.rand.Uint32()), sizes[m.rand.IntN(len(sizes))])
	return fmt.Sprintf("write %q %d", name, len(p)),
		func() error {
			n, err := walk(m.ours, name)
			if err != nil {
				return err
			}
			return m.ours.WriteFile(n, blockdev.FromBytes(p))
		},
		func() error {
			if err := os.WriteFile(m.host(name), p, 0o644); err != nil {
				return err
			}
			return m.stamp(name)
		},
		func() {}
}

func (m *model) mkdir() (string, func() error, func() error, func()) {
	name := m.fresh()
	return "mkdir " + strconv.Quote(name),
		func() error { return m.ours.mkdir(name) },
		func() error { return os.Mkdir(m.host(name), 0o755) },
		func() { m.kinds[name] = filesys.Dir }
}

func (m *model) rename() (string, func() error, func() error, func()) {
	old, name := m.pick(), m.fresh()
	switch m.rand.IntN(6) {
	case 0, 1:
		name = m.pick()
	case 2:
		old = m.pick(filesys.Dir)
	case 3: // another spelling
		if base := path.Base(old); base != "." && base[0] < 0x80 {
			name = path.Join(path.Dir(old), strings.ToUpper(base[:1])+base[1:])
		}
	}
	if old == "." || name == "." {
		old, name = "none", "none2"
	}
	if m.rand.IntN(20) == 0 {
		name = path.Join(old, "below")
	}
	return fmt.Sprintf("rename %q %q", old, name),
		func() error { return m.ours.rename(old, name) },
		func() error { return syscall.Rename(m.host(old), m.host(name)) },
		func() {
			if old == name {
				return
			}
			for p := range m.kinds {
				if p == name {
					delete(m.kinds, p)
				}
			}
			for p, kind := range maps.Clone(m.kinds) {
				if p == old || strings.HasPrefix(p, old+"/") {
					delete(m.kinds, p)
					m.kinds[name+strings.TrimPrefix(p, old)] = kind
				}
			}
		}
}

func (m *model) remove() (string, func() error, func() error, func()) {
	name := m.pick()
	if m.rand.IntN(5) == 0 {
		name = m.pick(filesys.Dir)
	}
	if name == "." {
		name = "none"
	}
	return "remove " + strconv.Quote(name),
		func() error { return m.ours.remove(name) },
		func() error { return os.Remove(m.host(name)) },
		func() { delete(m.kinds, name) }
}

func (m *model) utimes() (string, func() error, func() error, func()) {
	name := m.pick(filesys.Regular)
	at := time.Unix(315532800+m.rand.Int64N(1<<30)*2, 0)
	return fmt.Sprintf("utimes %q %v", name, at.UTC()),
		func() error {
			n, err := walk(m.ours, name)
			if err != nil {
				return err
			}
			return m.ours.SetAttr(n, filesys.SetAttr{Mtime: &at, Atime: &at})
		},
		func() error { return os.Chtimes(m.host(name), at, at) },
		func() {}
}
