package guest_test

import (
	"errors"
	"io/fs"
	"slices"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

func mounted(path, id string, files map[string]string) guest.Mounted {
	v := &fsedittest.MemVolume{FS: fsedittest.NewMemFS(files)}
	return guest.Mounted{Path: path, Volume: id, Open: func() (filesys.Volume, filesys.FS, error) { return v, v.FS, nil }}
}

func broken(path, id string) guest.Mounted {
	return guest.Mounted{Path: path, Volume: id, Open: func() (filesys.Volume, filesys.FS, error) {
		return nil, nil, ondisk.Because(ondisk.ErrCorrupt, "broken")
	}}
}

func testTree() *guest.Tree {
	return guest.NewTree([]guest.Mounted{
		mounted("/boot/", "sda2", map[string]string{"vmlinuz": "kernel", "up": "-> ../etc/passwd", "abs": "-> /etc/passwd", "grub/": ""}),
		mounted("/", "sda1", map[string]string{
			"etc/passwd": "root", "boot/hidden": "x", "bin": "-> usr/bin", "usr/bin/sh": "elf", "abs": "-> /usr/bin",
			"out": "-> ../../../../etc/passwd", "loop": "-> loop", "a": "-> b/c", "b": "-> .", "c": "-> etc",
			"k": "-> boot/vmlinuz", "dangling": "-> nowhere/x", "new": "-> etc/new", "var/run": "-> /run", "run/": "", "f": "f",
		}),
		mounted("/var/run/data", "sda3", map[string]string{"x": "data"}),
		mounted("/srv/deep/er", "sda4", map[string]string{"y": "deep"}),
		broken("/broken", "sda5"),
	})
}

func TestTreeResolves(t *testing.T) {
	tree := testTree()
	for path, want := range map[string]string{
		"/etc/passwd": "root", "//etc/./passwd": "root", "/bin/sh": "elf", "/abs/sh": "elf", "/out": "root",
		"/../../etc/passwd": "root", "/a/passwd": "root", "/boot/vmlinuz": "kernel", "/k": "kernel", "/boot/up": "root",
		"/boot/abs": "root", "/boot/grub/../up": "root", "/run/data/x": "data", "/var/run/data/x": "data",
		"/srv/deep/er/y": "deep", "/srv/deep/er/../../../f": "f", "/usr/bin/../../bin/sh": "elf",
	} {
		got, err := guest.ReadFile(tree, path, 100)
		if err != nil || string(got) != want {
			t.Errorf("%s: %q, %v; not %q", path, got, err, want)
		}
	}
}

func TestTreeFails(t *testing.T) {
	tree := testTree()
	for path, want := range map[string]error{
		"/boot/hidden": fs.ErrNotExist, "/loop": filesys.ErrLoop, "/dangling": fs.ErrNotExist, "/f/x": filesys.ErrNotDir,
		"/f/": filesys.ErrNotDir, "/f/..": filesys.ErrNotDir, "/etc": filesys.ErrIsDir, "/srv/deep": filesys.ErrIsDir,
		"/srv/other": fs.ErrNotExist, "etc/passwd": fs.ErrInvalid, "": fs.ErrInvalid, "/e\x00": fs.ErrInvalid,
		"/broken/x": ondisk.ErrCorrupt,
	} {
		if _, err := tree.Open(path); !errors.Is(err, want) {
			t.Errorf("%q: %v, not %v", path, err, want)
		}
	}
}

func TestTreeRealpath(t *testing.T) {
	tree := testTree()
	for path, want := range map[string]string{
		"/bin/sh": "/usr/bin/sh", "/new": "/etc/new", "/etc/none": "/etc/none", "/a": "/etc", "/": "/", "/..": "/",
		"/boot/up": "/etc/passwd", "/srv/deep": "/srv/deep", "/etc/new/": "/etc/new",
	} {
		if got, err := tree.Realpath(path); err != nil || got != want {
			t.Errorf("%s: %q, %v; not %q", path, got, err, want)
		}
	}
	if _, err := tree.Realpath("/none/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestTreeLinksAndLists(t *testing.T) {
	tree := testTree()
	if a, err := tree.Lstat("/bin"); err != nil || !a.Mode.IsSymlink() {
		t.Errorf("lstat: %v, %v", a.Mode, err)
	}
	if a, err := tree.Lstat("/bin/"); err != nil || !a.Mode.IsDir() {
		t.Errorf("lstat with a slash: %v, %v", a.Mode, err)
	}
	if target, err := tree.Readlink("/bin"); err != nil || target != "usr/bin" {
		t.Errorf("readlink: %q, %v", target, err)
	}
	for path, want := range map[string][]string{
		"/boot": {"abs", "grub", "up", "vmlinuz"}, "/srv": {"deep"}, "/run": {"data"}, "/usr": {"bin"},
		"/": {"a", "abs", "b", "bin", "boot", "broken", "c", "dangling", "etc", "f", "k", "loop", "new", "out", "run", "srv", "usr", "var"},
	} {
		list, err := tree.ReadDir(path)
		var got []string
		for _, d := range list {
			got = append(got, d.Name)
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v; not %q", path, got, err, want)
		}
	}
}

func TestTreePlace(t *testing.T) {
	tree := testTree()
	for path, want := range map[string][2]string{
		"/etc/passwd": {"/", "/etc/passwd"}, "/boot": {"/boot", "/"}, "/boot/a/b": {"/boot", "/a/b"},
		"/bootx": {"/", "/bootx"}, "/run/data/x": {"/run/data", "/x"},
	} {
		p, err := tree.Place(path)
		if got := [2]string{p.Mount, p.Path}; err != nil || got != want || p.Volume == nil {
			t.Errorf("%s: %q, %v; not %q", path, got, err, want)
		}
	}
}

// TestTreeWithoutRoot: filesystems that the user mounted by hand.
func TestTreeWithoutRoot(t *testing.T) {
	tree := guest.NewTree([]guest.Mounted{mounted("/mnt", "sda1", map[string]string{"x": "1", "l": "-> /mnt/x"})})
	if got, err := guest.ReadFile(tree, "/mnt/l", 9); err != nil || string(got) != "1" {
		t.Errorf("%q, %v", got, err)
	}
	if list, err := tree.ReadDir("/"); err != nil || len(list) != 1 || list[0].Name != "mnt" {
		t.Errorf("%v, %v", list, err)
	}
	why := errors.New("no system here")
	if _, err := guest.EmptyTree(why).Stat("/etc"); !errors.Is(err, why) {
		t.Errorf("%v", err)
	}
}
