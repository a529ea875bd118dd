package osfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Siblings is which files an image may name: backing files, extents, parents.
// An image comes from a stranger, and may name any file of this host.
type Siblings int

const (
	// SameDir allows regular files in the folder of the file that names them,
	// and below it, by relative names. Links cannot lead out.
	SameDir Siblings = iota
	// Anywhere allows every plain path.
	Anywhere
	// Nowhere allows none.
	Nowhere
)

// PermitFlag is the flag of the command line that stands for [Anywhere]; errors
// name it.
const PermitFlag = "--allow-external"

// Sibling opens a file that this one names, by the policy of the options.
func (s *source) Sibling(name string) (imagefmt.Source, error) {
	return sibling(s.path, name, s.options)
}

func sibling(path, name string, o Options) (imagefmt.Source, error) {
	if err := plainName(name); err != nil {
		return nil, ondisk.Because(ondisk.ErrBlocked, "%s names %q: %v", path, name, err)
	}
	switch {
	case o.Siblings == Nowhere:
		return nil, ondisk.Because(ondisk.ErrBlocked, "%s names %q, and other files may not be opened", path, name)
	case o.Siblings == Anywhere && filepath.IsAbs(name):
		return Open(name, o)
	case o.Siblings == Anywhere:
		return Open(filepath.Join(filepath.Dir(path), name), o)
	case !filepath.IsLocal(filepath.FromSlash(name)):
		return nil, outside(path, name)
	}
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	local := filepath.FromSlash(name)
	src, err := open(rootPath{root, local}, filepath.Join(filepath.Dir(path), local), o)
	if escapes(err) {
		return nil, outside(path, name)
	}
	return src, err
}

func outside(path, name string) error {
	return ondisk.Because(ondisk.ErrBlocked, "%s names %q, which is outside its folder; %s permits it", path, name, PermitFlag)
}

// rootPath is a name in a folder that cannot be left, and only a regular file.
type rootPath struct {
	root *os.Root
	name string
}

func (p rootPath) Open(flag int) (*os.File, error) { return p.root.OpenFile(p.name, flag, 0) }

func (p rootPath) Stat() (fs.FileInfo, error) {
	info, err := p.root.Stat(p.name)
	if err == nil && isBlockDevice(info) {
		err = ondisk.Because(ondisk.ErrBlocked, "%s is a block device; %s permits it", p.name, PermitFlag)
	}
	return info, err
}

// escapes reports whether os.Root refused a name. The package has no sentinel
// for that; a test holds on to the text.
func escapes(err error) bool {
	var pathErr *fs.PathError
	return errors.As(err, &pathErr) && pathErr.Err.Error() == "path escapes from parent"
}

var (
	// scheme is what QEMU takes for a protocol or driver. One letter is a
	// drive of Windows.
	scheme = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]+:`)
	url    = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]+://`)
)

var errNoPath = errors.New("only plain paths are opened: no URL, no json:, no protocol")

// plainName checks a name that a file gives: there every prefix is refused.
func plainName(name string) error {
	switch {
	case name == "":
		return errors.New("the name is empty")
	case strings.ContainsRune(name, 0):
		return errors.New("the name holds a zero byte")
	case scheme.MatchString(name):
		return errNoPath
	}
	return nil
}

// plainPath checks a path that the user gives, who may have colons in names.
func plainPath(path string) error {
	for _, prefix := range []string{"json:", "file:", "nbd:", "fat:", "host_device:"} {
		if strings.HasPrefix(strings.ToLower(path), prefix) {
			return ondisk.Because(ondisk.ErrBlocked, "%q: %v", path, errNoPath)
		}
	}
	if url.MatchString(path) {
		return ondisk.Because(ondisk.ErrBlocked, "%q: %v", path, errNoPath)
	}
	return nil
}
