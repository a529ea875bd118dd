package guest

import (
	"sync"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
)

// maxNames bounds the cache; when full it starts anew. Inspection asks for some
// hundred names again and again, and never for more than a few thousand.
const maxNames = 8192

// nameCache remembers what names lead to. Names that lead nowhere are asked for
// again: they are what edits add.
type nameCache struct {
	mu    sync.Mutex
	known map[nameKey]nameEntry
}

type nameKey struct {
	mount *mount
	dir   filesys.Node
	name  string
}

type nameEntry struct {
	node   filesys.Node
	target string // of a symbolic link
}

func (c *nameCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known = nil
}

func (c *nameCache) lookup(m *mount, dir filesys.Node, name string) (nameEntry, error) {
	key := nameKey{m, dir, name}
	c.mu.Lock()
	e, ok := c.known[key]
	c.mu.Unlock()
	if ok {
		return e, nil
	}
	n, err := m.fs.Lookup(dir, name)
	if err != nil {
		return nameEntry{}, err
	}
	a, err := m.fs.Attr(n)
	if err != nil {
		return nameEntry{}, err
	}
	e.node = n
	if a.Mode.IsSymlink() {
		if e.target, err = m.fs.Readlink(n); err != nil {
			return nameEntry{}, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil || len(c.known) >= maxNames {
		c.known = map[nameKey]nameEntry{}
	}
	c.known[key] = e
	return e, nil
}
