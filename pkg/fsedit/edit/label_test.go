package edit

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/selinux"
)

// labelled is a folder whose directories have labels.
type labelled struct {
	folder
	labels map[string]string
}

func (d labelled) Xattrs(p string) (map[string][]byte, error) {
	if l, ok := d.labels[p]; ok {
		return map[string][]byte{selinux.Xattr: selinux.Value(l)}, nil
	}
	return nil, nil
}

const contexts = "etc/selinux/targeted/contexts/files/file_contexts"

// stage adds objects of all kinds and changes one, and tells the labels by path.
func stage(t *testing.T, base labelled) (map[string]string, *Staged) {
	t.Helper()
	base.put(t, "etc/fstab", "old")
	base.put(t, "etc/link -> fstab", "")
	s := NewStaged(base)
	why := Reason{Edit: "test", Text: "test"}
	must(t, s.WriteFile("/etc/fstab", text("new"), 0, why))
	must(t, s.WriteFile("/etc/new/file", text("new"), 0o644, why))
	must(t, s.WriteFile("/opt/x/y/file", text("new"), 0o644, why))
	must(t, s.WriteFile("/home/raw", text("new"), 0o644, why))
	must(t, s.Symlink("/etc/link", "other", why))
	must(t, s.Symlink("/etc/newlink", "other", why))
	changes, err := s.Changes()
	must(t, err)
	got := map[string]string{}
	for _, c := range changes {
		got[c.Path] = c.Label
	}
	return got, s
}

func TestLabels(t *testing.T) {
	base := labelled{folder(t.TempDir()), map[string]string{"/": "root_t", "/home": "home_t"}}
	base.put(t, "etc/selinux/config", "SELINUX=enforcing\n")
	base.put(t, contexts, "/etc(/.*)? etc_t\n/etc/new -d newdir_t\n/etc/newl.* -l link_t\n/home/.* <<none>>\n/opt/x/y/f(?=i).* file_t\n")
	base.put(t, "home/", "")
	got, s := stage(t, base)
	want := map[string]string{
		"/etc/fstab": "", "/etc/link": "", "/etc/new": "newdir_t", "/etc/new/file": "etc_t", "/etc/newlink": "link_t",
		"/home/raw": "home_t", "/opt": "root_t", "/opt/x": "root_t", "/opt/x/y": "root_t", "/opt/x/y/file": "root_t",
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	w := s.Warnings()
	if len(w) != 1 || !strings.Contains(w[0].Text, "file_contexts line 5: /opt/x/y/f(?=i).*") {
		t.Errorf("warnings %v", w)
	}
}

func TestNoLabels(t *testing.T) {
	for _, config := range []string{"", "SELINUX=disabled\n", "SELINUXTYPE=other\n"} {
		base := labelled{folder(t.TempDir()), map[string]string{"/": "root_t", "/home": "home_t"}}
		base.put(t, contexts, "/.* l\n")
		base.put(t, "home/", "")
		if config != "" {
			base.put(t, "etc/selinux/config", config)
		}
		got, s := stage(t, base)
		for p, l := range got {
			if l != "" || p == autorelabel {
				t.Errorf("%q: %s is labelled %q", config, p, l)
			}
		}
		if len(s.Warnings()) > 0 {
			t.Errorf("%v", s.Warnings())
		}
	}
}

// A policy that cannot be read leaves the labels to the guest, and says so.
func TestRelabel(t *testing.T) {
	base := labelled{folder: folder(t.TempDir())}
	base.put(t, "etc/selinux/config", "SELINUX=permissive\n")
	base.put(t, contexts+".bin", "compiled")
	base.put(t, "home/", "")
	got, s := stage(t, base)
	paths := slices.Sorted(maps.Keys(got))
	if paths[0] != autorelabel || len(got) != 11 {
		t.Errorf("changes %v", paths)
	}
	if w := s.Warnings(); len(w) != 1 || !strings.Contains(w[0].Text, "file_contexts.bin") {
		t.Errorf("warnings %v", w)
	}
	changes, err := s.Changes()
	must(t, err)
	if c := changes[0]; c.Kind != Add || c.Content.Size() != 0 || c.Mode != filesys.Mode(0o644) || len(c.Reasons) != 1 {
		t.Errorf("%+v", c)
	}
	only := NewStaged(base)
	must(t, only.WriteFile("/etc/fstab", text("newer"), 0, Reason{}))
	if changes, err := only.Changes(); err != nil || len(changes) != 1 {
		t.Errorf("a changed file alone: %v, %v", changes, err)
	}
}
