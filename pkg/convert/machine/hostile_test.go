package machine_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/osfile"
	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// TestHostile opens packages that name what is not theirs, or far too much.
func TestHostile(t *testing.T) {
	disk := file{"d.img", diskContent(1)}
	pack := func(ovf []byte, files ...file) []byte {
		return archive(t, tar.FormatUSTAR, append([]file{{"web.ovf", ovf}}, files...)...)
	}
	names := func(n int, name string) []string {
		list := make([]string, n)
		for i := range list {
			list[i] = name
		}
		return list
	}
	for name, c := range map[string]struct {
		content []byte
		is      error
	}{
		"a disk of the host":      {pack(descriptor("/etc/passwd"), disk), ondisk.ErrCorrupt},
		"a disk above":            {pack(descriptor("../../etc/passwd"), disk), ondisk.ErrCorrupt},
		"a disk above, escaped":   {pack(descriptor("..%2f..%2fetc%2fpasswd"), disk), ondisk.ErrCorrupt},
		"a disk from a folder":    {archive(t, tar.FormatUSTAR, file{"a/web.ovf", descriptor("../../etc/passwd")}, disk), ondisk.ErrCorrupt},
		"a disk on another host":  {pack(descriptor("http://example.org/d.img"), disk), ondisk.ErrUnsupported},
		"itself as a disk":        {pack(descriptor("web.ovf"), disk), ondisk.ErrCorrupt},
		"a missing disk":          {pack(descriptor("x.img"), disk), ondisk.ErrCorrupt},
		"two members of a name":   {pack(descriptor("d.img"), disk, disk), ondisk.ErrAmbiguous},
		"ten thousand disks":      {pack(descriptor(names(10_000, "d.img")...), disk), ondisk.ErrTooBig},
		"ten thousand blanks":     {pack(descriptor(names(10_000, "")...)), ondisk.ErrTooBig},
		"a million parts":         {pack(bytes.Replace(descriptor("d.img"), []byte("<File "), []byte(`<File ovf:size="1000000" ovf:chunkSize="1" `), 1), disk), ondisk.ErrTooBig},
		"a huge descriptor":       {pack(append(descriptor("d.img"), bytes.Repeat([]byte(" "), 17<<20)...), disk), ondisk.ErrTooBig},
		"a member of no end":      {pack(descriptor("d.img"), disk)[:4000], ondisk.ErrCorrupt},
		"no machine":              {pack(envelope("", "d.img"), disk), ondisk.ErrUnsupported},
		"no disk":                 {pack(descriptor(), disk), ondisk.ErrUnsupported},
		"no description":          {pack([]byte("hello"), disk), nil},
		"a description of itself": {pack(descriptor("web.mf"), file{"web.mf", descriptor("web.mf")}), errNone},
	} {
		_, err := open(t, "x.ova", c.content)
		switch {
		case c.is == errNone:
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		case err == nil || c.is != nil && !errors.Is(err, c.is):
			t.Errorf("%s: %v", name, err)
		}
	}
}

// errNone stands for no error.
var errNone = errors.New("none")

// TestManyParts: parts are files, of which a machine cannot have any number.
func TestManyParts(t *testing.T) {
	const n = 5000
	files := []file{{"web.ovf", bytes.Replace(descriptor("d"), []byte("<File "), fmt.Appendf(nil, `<File ovf:size="%d" ovf:chunkSize="1" `, n), 1)}}
	for i := range n {
		files = append(files, file{fmt.Sprintf("d.%09d", i), []byte("x")})
	}
	if _, err := open(t, "x.ova", archive(t, tar.FormatUSTAR, files...)); !errors.Is(err, ondisk.ErrTooBig) {
		t.Error(err)
	}
}

// TestHostileFolder: a description beside its disks names files of the host.
func TestHostileFolder(t *testing.T) {
	outside, dir := t.TempDir(), filepath.Join(t.TempDir())
	secret := filepath.Join(outside, "secret.img")
	write(t, secret, diskContent(1))
	link := filepath.Join(dir, "link.img")
	testtool.Run(t, "ln", "-s", secret, link)
	for _, name := range []string{secret, "../" + filepath.Base(outside) + "/secret.img", "link.img", "file://" + secret, "json:{}", "nbd://localhost"} {
		path := filepath.Join(dir, "web.ovf")
		write(t, path, descriptor(name))
		_, err := openHost(t, path, osfile.SameDir)
		if !errors.Is(err, ondisk.ErrBlocked) && !errors.Is(err, ondisk.ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
	path := filepath.Join(dir, "web.ovf")
	write(t, path, descriptor("d.img"))
	write(t, filepath.Join(dir, "d.img"), diskContent(1))
	write(t, filepath.Join(dir, "web.mf"), fmt.Appendf(nil, "SHA256(%s)= %064d\n", secret, 0))
	m, err := openHost(t, path, osfile.SameDir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Verify(t.Context(), ondisk.Limits{}); !errors.Is(err, ondisk.ErrBlocked) {
		t.Errorf("a manifest of files outside: %v", err)
	}
}

// TestCycle: a chain of images that leads back ends.
func TestCycle(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.qcow2"), filepath.Join(dir, "b.qcow2")
	testtool.Run(t, "qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", "b.qcow2", "-F", "qcow2", a, "1M")
	testtool.Run(t, "qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", "a.qcow2", "-F", "qcow2", b, "1M")
	write(t, filepath.Join(dir, "web.xml"), fmt.Appendf(nil, xmlText, "<driver type='qcow2'/>", "a.qcow2"))
	if _, err := openHost(t, filepath.Join(dir, "web.xml"), osfile.SameDir); !errors.Is(err, ondisk.ErrCorrupt) {
		t.Error(err)
	}
}

// TestOwnership: what Open refuses is the caller's, and what it opened is closed.
func TestOwnership(t *testing.T) {
	folder := imagefmttest.NewFolder()
	d := folder.Put("d.img", diskContent(1))
	src := folder.Put("web.ovf", descriptor("d.img", "missing.img"))
	if _, err := openSource(t, src, options()); err == nil || !strings.Contains(err.Error(), "disk 2, missing.img") {
		t.Errorf("%v", err)
	}
	if d.Closed() != 1 || src.Closed() != 1 { // by the test
		t.Errorf("the disk was closed %d times and the description %d times", d.Closed(), src.Closed())
	}
	src = folder.Put("web.ovf", descriptor("d.img"))
	m, err := openSource(t, src, options())
	if err != nil {
		t.Fatal(err)
	}
	m.Close()
	if d.Closed() != 2 || src.Closed() != 1 {
		t.Errorf("the disk was closed %d times and the description %d times", d.Closed(), src.Closed())
	}
}
