package guest_test

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/fsedittest"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// visits lists what Visit comes to; "@" stands before the mount of each.
func visits(t *testing.T, tree *guest.Tree, p string, skip func(guest.Object) bool) (string, error) {
	t.Helper()
	var out []string
	err := tree.Visit(t.Context(), p, func(o guest.Object) error {
		out = append(out, o.Path+"@"+o.Mount)
		if skip != nil && skip(o) {
			return fs.SkipDir
		}
		return nil
	})
	return strings.Join(out, " "), err
}

func TestVisit(t *testing.T) {
	tree := guest.NewTree([]guest.Mounted{
		mounted("/", "sda1", map[string]string{"b": "file", "a/x": "1", "boot/hidden": "x", "link": "-> a", "loop": "-> loop"}),
		mounted("/boot", "sda2", map[string]string{"vmlinuz": "kernel"}),
		mounted("/srv/in/air", "sda3", map[string]string{"y": "2"}),
	})
	for _, test := range []struct{ p, want string }{
		{"/", "/@/ /a@/ /a/x@/ /b@/ /boot@/boot /boot/vmlinuz@/boot /link@/ /loop@/ /srv@ /srv/in@ /srv/in/air@/srv/in/air /srv/in/air/y@/srv/in/air"},
		{"/link", "/a@/ /a/x@/"},
		{"/srv/in", "/srv/in@ /srv/in/air@/srv/in/air /srv/in/air/y@/srv/in/air"},
	} {
		if got, err := visits(t, tree, test.p, nil); got != test.want || err != nil {
			t.Errorf("%s: %s, %v", test.p, got, err)
		}
	}
	got, err := visits(t, tree, "/", func(o guest.Object) bool { return o.Mount != "/" })
	if want := "/@/ /a@/ /a/x@/ /b@/ /boot@/boot /link@/ /loop@/ /srv@"; got != want || err != nil {
		t.Errorf("one filesystem: %s, %v", got, err)
	}
	for p, want := range map[string]error{"/b": filesys.ErrNotDir, "/none": fs.ErrNotExist, "/loop": filesys.ErrLoop} {
		if got, err := visits(t, tree, p, nil); !errors.Is(err, want) {
			t.Errorf("%s: %s, %v", p, got, err)
		}
	}
	if got, err := visits(t, testTree(), "/", nil); !errors.Is(err, ondisk.ErrCorrupt) || !strings.Contains(err.Error(), "/broken") {
		t.Errorf("a broken filesystem: %s, %v", got, err)
	}
}

// circle is a filesystem whose folder holds itself.
type circle struct{ filesys.FS }

func (c circle) ReadDir(n filesys.Node) ([]filesys.Dirent, error) {
	list, err := c.FS.ReadDir(n)
	return append(slices.Clip(list), filesys.Dirent{Name: "again", Node: n, Type: filesys.Dir}), err
}

func TestVisitEnds(t *testing.T) {
	v := &fsedittest.MemVolume{FS: fsedittest.NewMemFS(map[string]string{"d/x": "1"})}
	tree := guest.NewTree([]guest.Mounted{{Path: "/", Volume: "sda1", Open: func() (filesys.Volume, filesys.FS, error) {
		return v, circle{v.FS}, nil
	}}})
	if got, err := visits(t, tree, "/", nil); !errors.Is(err, ondisk.ErrCorrupt) {
		t.Errorf("%s, %v", got, err)
	}
}
