package selinux

import (
	"errors"
	"io/fs"
	"sync"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

const layer = "selinux"

// Xattr is the extended attribute that holds a label; see [Value].
const Xattr = "security.selinux"

// Value is a label as [Xattr] holds it.
func Value(label string) []byte { return append([]byte(label), 0) }

// Options are the bounds of [Load]. The zero value is good.
type Options struct {
	Limits ondisk.Limits
}

// Contexts are the file contexts of one policy. They are safe for concurrent use.
type Contexts struct {
	specs    []*spec            // those without metacharacters last
	byStem   map[string][]int32 // first element of the path to the specs of it, ascending; "" to the rest
	local    substitutions      // of .subs
	dist     substitutions      // of .subs_dist
	problems []Problem

	mu     sync.Mutex
	budget int64 // bytes that compiled expressions may still take
}

// Problem is a line of a policy's files that has no effect here.
type Problem struct {
	File string // "file_contexts.local"
	Line int    // from 1
	Spec string // its first field
	Why  string
}

// Problems are the lines that could not be read at all.
func (c *Contexts) Problems() []Problem { return c.problems }

// Load reads the file contexts of a guest whose files read gives, whole, by their
// path. Contexts are nil when the guest labels no files: there is no
// configuration, it says so, or the policy is not there. An error means that it
// does label them, and that nobody can say how.
func Load(read func(path string) ([]byte, error), opts Options) (*Contexts, error) {
	text, err := optional(read, ConfigPath)
	if text == nil {
		return nil, err
	}
	config := ParseConfig(text)
	if !config.Labels() {
		return nil, nil
	}
	dir := config.folder()
	limits := opts.Limits.OrDefault()
	c := &Contexts{budget: limits.Cache}
	p := parser{contexts: c, limit: limits.Entries}
	for _, name := range []string{"file_contexts", "file_contexts.homedirs", "file_contexts.local"} {
		text, err := optional(read, dir+name)
		switch {
		case err != nil:
			return nil, err
		case text == nil && name == "file_contexts":
			return nil, compiledOnly(read, dir)
		}
		if err := p.specs(name, text); err != nil {
			return nil, err
		}
	}
	if c.local, err = p.substitutions(read, dir, "file_contexts.subs"); err != nil {
		return nil, err
	}
	if c.dist, err = p.substitutions(read, dir, "file_contexts.subs_dist"); err != nil {
		return nil, err
	}
	c.index(p.list)
	return c, nil
}

// compiledOnly refuses a policy that has come without its texts.
func compiledOnly(read func(string) ([]byte, error), dir string) error {
	text, err := optional(read, dir+"file_contexts.bin")
	if text != nil {
		err = ondisk.At(layer, "policy", ondisk.NoOffset).Unsupported("%sfile_contexts.bin without its text", dir)
	}
	return err
}

// optional is nil, and no error, for a file that is not there.
func optional(read func(string) ([]byte, error), path string) ([]byte, error) {
	text, err := read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && text == nil {
		text = []byte{}
	}
	return text, err
}
