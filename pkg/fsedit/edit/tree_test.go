package edit

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// folder is a guest.View of a folder of this machine, for paths without links:
// Staged asks its base for no others.
type folder string

func (d folder) host(p string) string { return filepath.Join(string(d), p) }

func (d folder) Lstat(p string) (filesys.Attr, error) {
	info, err := os.Lstat(d.host(p))
	if errors.Is(err, syscall.ENOTDIR) {
		err = fs.ErrNotExist
	}
	if err != nil {
		return filesys.Attr{}, err
	}
	return filesys.Attr{Mode: filesys.ModeOf(info.Mode()), Size: info.Size()}, nil
}

func (d folder) Stat(p string) (filesys.Attr, error) { return d.Lstat(p) }

func (d folder) Open(p string) (blockdev.Device, error) {
	text, err := os.ReadFile(d.host(p))
	return blockdev.FromBytes(text), err
}

func (d folder) ReadDir(p string) ([]filesys.Dirent, error) {
	list, err := os.ReadDir(d.host(p))
	out := make([]filesys.Dirent, len(list))
	for i, e := range list {
		out[i] = filesys.Dirent{Name: e.Name(), Type: filesys.ModeOf(e.Type()).Type()}
	}
	return out, err
}

func (d folder) Readlink(p string) (string, error)          { return os.Readlink(d.host(p)) }
func (d folder) Xattrs(p string) (map[string][]byte, error) { return nil, nil }
func (d folder) Realpath(p string) (string, error)          { return p, nil }
func (d folder) put(t testing.TB, name, content string) {
	t.Helper()
	name, target, isLink := strings.Cut(name, " -> ")
	host := d.host(name)
	if err := os.MkdirAll(filepath.Dir(host), 0o755); err != nil {
		t.Fatal(err)
	}
	var err error
	switch {
	case isLink:
		err = os.Symlink(target, host)
	case strings.HasSuffix(name, "/"):
		err = os.MkdirAll(host, 0o755)
	default:
		err = os.WriteFile(host, []byte(content), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// apply makes the changes in the folder.
func (d folder) apply(t testing.TB, changes []Change) {
	t.Helper()
	for _, c := range changes {
		var err error
		switch c.Kind {
		case Mkdir:
			err = os.Mkdir(d.host(c.Path), 0o755)
		case Remove:
			err = os.Remove(d.host(c.Path))
		case Link:
			os.Remove(d.host(c.Path))
			err = os.Symlink(c.Target, d.host(c.Path))
		default:
			var text []byte
			if text, err = readAll(c.Content); err == nil {
				err = os.WriteFile(d.host(c.Path), text, 0o644)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func readAll(d blockdev.Device) ([]byte, error) {
	p := make([]byte, d.Size())
	_, err := blockdev.NewReader(d).Read(p)
	if len(p) == 0 {
		err = nil
	}
	return p, err
}
