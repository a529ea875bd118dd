package edit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/pmezard/go-difflib/difflib"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// maxDiff is the size of a file, in bytes, beyond which a difference is told in
// sizes: nobody reads a longer one, and finding it takes quadratic time.
const maxDiff = 256 << 10

// Changes folds what was staged: one change a path, by path. What came out as
// the base has it is left out. What is added has its SELinux label, where the guest
// labels its files.
func (s *Staged) Changes() ([]Change, error) {
	var out []Change
	for _, real := range slices.Sorted(maps.Keys(s.nodes)) {
		c, err := s.fold(real, s.nodes[real])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", real, err)
		}
		if c != nil {
			out = append(out, *c)
		}
	}
	return s.label(out)
}

// fold compares one staged path with the base; nil is no change.
func (s *Staged) fold(real string, n *node) (*Change, error) {
	old, err := s.base.Lstat(real)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, filesys.ErrNotDir) {
		return nil, err
	}
	exists := err == nil
	c := &Change{Path: real, Reasons: n.reasons, Mode: n.mode.Perm(), Content: n.content, Target: n.target}
	if exists && old.Mode.IsRegular() {
		if c.Before, err = s.base.Open(real); err != nil {
			return nil, err
		}
		if c.OldHash, err = hash(c.Before); err != nil {
			return nil, err
		}
	}
	switch {
	case n.mode == 0 && !exists, n.mode.IsDir() && exists && old.Mode.IsDir():
		return nil, nil
	case n.mode == 0:
		c.Kind, c.Mode = Remove, 0
	case n.mode.IsDir():
		c.Kind = Mkdir
	case n.mode.IsSymlink():
		return foldLink(s, c, old, exists)
	case c.Before != nil:
		same, err := equal(c.Before, c.Content)
		if err != nil || same {
			return nil, err
		}
		c.Kind = Modify
	default:
		c.Kind = Add
	}
	c.Diff = n.diff
	if c.Diff == "" {
		c.Diff, err = describe(c)
	}
	return c, err
}

func foldLink(s *Staged, c *Change, old filesys.Attr, exists bool) (*Change, error) {
	c.Kind = Link
	c.Diff = fmt.Sprintf("+ %s -> %s\n", c.Path, c.Target)
	if !exists || !old.Mode.IsSymlink() {
		return c, nil
	}
	was, err := s.base.Readlink(c.Path)
	if err != nil || was == c.Target {
		return nil, err
	}
	c.Diff = fmt.Sprintf("- %s -> %s\n", c.Path, was) + c.Diff
	return c, nil
}

// describe is a unified diff of text, and sizes of anything else.
func describe(c *Change) (string, error) {
	before, plainBefore, err := textOf(c.Before)
	if err != nil {
		return "", err
	}
	after, plainAfter, err := textOf(c.Content)
	if err != nil {
		return "", err
	}
	switch {
	case c.Kind == Mkdir:
		return fmt.Sprintf("+ %s/\n", c.Path), nil
	case c.Kind == Remove && c.Before == nil:
		return fmt.Sprintf("- %s\n", c.Path), nil
	case !plainBefore || !plainAfter:
		return fmt.Sprintf("%s: %d -> %d bytes\n", c.Path, size(c.Before), size(c.Content)), nil
	}
	return difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		A: lines(before), FromFile: nameOr(c.Before, "a"+c.Path),
		B: lines(after), ToFile: nameOr(c.Content, "b"+c.Path),
		Context: 3,
	})
}

func nameOr(d blockdev.Device, name string) string {
	if d == nil {
		return "/dev/null"
	}
	return name
}

// lines keeps the line ends; a last line without one is marked as diff(1) does.
func lines(text []byte) []string {
	var out []string
	for line := range bytes.Lines(text) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			line = append(slices.Clip(line), "\n\\ No newline at end of file\n"...)
		}
		out = append(out, string(line))
	}
	return out
}

func textOf(d blockdev.Device) (text []byte, plain bool, err error) {
	if d == nil {
		return nil, true, nil
	}
	if d.Size() > maxDiff {
		return nil, false, nil
	}
	text = make([]byte, d.Size())
	if _, err := io.ReadFull(blockdev.NewReader(d), text); err != nil {
		return nil, false, err
	}
	return text, utf8.Valid(text) && bytes.IndexByte(text, 0) < 0, nil
}

func size(d blockdev.Device) int64 {
	if d == nil {
		return 0
	}
	return d.Size()
}

func hash(d blockdev.Device) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, blockdev.NewReader(d)); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// equal compares contents, sizes first.
func equal(a, b blockdev.Device) (bool, error) {
	if a.Size() != b.Size() {
		return false, nil
	}
	const step = 256 << 10
	p, q := make([]byte, min(step, a.Size())), make([]byte, min(step, a.Size()))
	for off := int64(0); off < a.Size(); off += step {
		n := min(step, a.Size()-off)
		if _, err := io.ReadFull(io.NewSectionReader(a, off, n), p[:n]); err != nil {
			return false, err
		}
		if _, err := io.ReadFull(io.NewSectionReader(b, off, n), q[:n]); err != nil {
			return false, err
		}
		if !bytes.Equal(p[:n], q[:n]) {
			return false, nil
		}
	}
	return true, nil
}
