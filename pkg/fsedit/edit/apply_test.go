package edit

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/fsedit/selinux"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// joined is a guest of two filesystems: "/", and "/boot".
type joined struct {
	guest.View
	root, boot *memory
}

func (j joined) Place(real string) (guest.Place, error) {
	if rest, ok := strings.CutPrefix(real, "/boot"); ok {
		return guest.Place{Mount: "/boot", Volume: j.boot, Path: rest}, nil
	}
	return guest.Place{Mount: "/", Volume: j.root, Path: real}, nil
}

func (m *memory) write(t *testing.T, p, content string, xattrs map[string][]byte) {
	t.Helper()
	ed, err := m.Edit(filesys.EditOptions{})
	must(t, err)
	tx := ed.(*transaction)
	dir := tx.Root()
	parts := strings.Split(strings.Trim(p, "/"), "/")
	for _, name := range parts[:len(parts)-1] {
		n, err := tx.Lookup(dir, name)
		if err != nil {
			n, err = tx.Mkdir(dir, name, filesys.NewAttr{})
			must(t, err)
		}
		dir = n
	}
	n, err := tx.Create(dir, parts[len(parts)-1], filesys.NewAttr{})
	must(t, err)
	must(t, tx.WriteFile(n, text(content)))
	for k, v := range xattrs {
		must(t, tx.SetXattr(n, k, v))
	}
	m.nodes = tx.nodes
}

// at is the object at a path.
func (m *memory) at(t *testing.T, p string) *object {
	t.Helper()
	ed, err := m.Edit(filesys.EditOptions{})
	must(t, err)
	n, err := walk(ed, p)
	if err != nil {
		t.Fatalf("%s: %v", p, err)
	}
	return m.nodes[n]
}

func (o *object) text(t *testing.T) string {
	t.Helper()
	b, err := readAll(o.content)
	must(t, err)
	return string(b)
}

func modify(t *testing.T, p, before, after string) Change {
	t.Helper()
	sum, err := hash(text(before))
	must(t, err)
	return Change{Path: p, Kind: Modify, OldHash: sum, Before: text(before), Content: text(after)}
}

func TestApply(t *testing.T) {
	j := joined{root: newMemory(), boot: newMemory()}
	j.root.write(t, "/etc/fstab", "old", map[string][]byte{selinux.Xattr: []byte("etc_t"), "security.ima": {1}, "user.x": {2}})
	j.root.write(t, "/old", "", map[string][]byte{selinux.Xattr: []byte("mnt_t")})
	j.boot.write(t, "/grub/grub.cfg", "old", nil)
	must(t, Apply(t.Context(), j, []Change{
		modify(t, "/boot/grub/grub.cfg", "old", "new"),
		modify(t, "/etc/fstab", "old", "new"),
		{Path: "/var", Kind: Mkdir, Mode: 0o755},
		{Path: "/var/note", Kind: Add, Mode: 0o600, Content: text("note"), Label: "var_t"},
		{Path: "/link", Kind: Link, Target: "var/note"},
		{Path: "/old", Kind: Link, Target: "var/note"},
	}, ApplyOptions{Now: time.Unix(1, 0)}))
	fstab := j.root.at(t, "/etc/fstab")
	if fstab.text(t) != "new" || j.boot.at(t, "/grub/grub.cfg").text(t) != "new" {
		t.Error("the old contents are still there")
	}
	if _, ok := fstab.xattrs["security.ima"]; ok || len(fstab.xattrs) != 2 {
		t.Errorf("attributes of a changed file: %v", fstab.xattrs)
	}
	if note := j.root.at(t, "/var/note"); note.mode.Perm() != 0o600 || string(note.xattrs[selinux.Xattr]) != "var_t\x00" {
		t.Errorf("an added file: mode %o, %v", note.mode, note.xattrs)
	}
	if old := j.root.at(t, "/old"); string(old.xattrs[selinux.Xattr]) != "mnt_t" {
		t.Errorf("a replaced link: %v", old.xattrs)
	}
	if link := j.root.at(t, "/link"); link.target != "var/note" || len(link.xattrs) > 0 {
		t.Error("the link leads elsewhere")
	}
}

func TestApplyAllOrNothing(t *testing.T) {
	broken := errors.New("broken")
	tests := []struct {
		name    string
		prepare func(j joined)
		change  func(t *testing.T) Change
		want    error
	}{
		{"no room", func(j joined) { j.boot.space.FreeBlocks = 1 }, func(t *testing.T) Change {
			return modify(t, "/boot/f", "old", strings.Repeat("x", 5000))
		}, ondisk.ErrNoSpace},
		{"no inodes", func(j joined) { j.boot.space.FreeInodes = 0 }, func(t *testing.T) Change {
			return Change{Path: "/boot/new", Kind: Add, Content: blockdev.FromBytes(nil)}
		}, ondisk.ErrNoSpace},
		{"changed since", func(joined) {}, func(t *testing.T) Change {
			return modify(t, "/boot/f", "older", "new")
		}, ondisk.ErrBlocked},
		{"not writable", func(j joined) { j.boot.failEdit = broken }, func(t *testing.T) Change {
			return modify(t, "/boot/f", "old", "new")
		}, broken},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			j := joined{root: newMemory(), boot: newMemory()}
			j.root.write(t, "/f", "old", nil)
			j.boot.write(t, "/f", "old", nil)
			test.prepare(j)
			changes := []Change{modify(t, "/f", "old", "new"), test.change(t)}
			err := Apply(t.Context(), j, changes, ApplyOptions{})
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), "/boot") {
				t.Errorf("error %v, want %v that names /boot", err, test.want)
			}
			if j.root.commits+j.boot.commits != 0 {
				t.Error("something was committed")
			}
		})
	}
}
