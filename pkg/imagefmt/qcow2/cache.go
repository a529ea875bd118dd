package qcow2

import (
	"container/list"
	"sync"
)

// cache keeps the most recently used blocks of one kind, by their offset, within
// a budget of bytes. It is safe for concurrent use; what it holds is shared and
// must not be changed while others may read it.
type cache struct {
	mu     sync.Mutex
	budget int64
	used   int64
	recent *list.List // of *cached, most recent first
	byOff  map[int64]*list.Element
}

type cached struct {
	off  int64
	data []byte
}

func newCache(budget int64) *cache {
	return &cache{budget: budget, recent: list.New(), byOff: map[int64]*list.Element{}}
}

// get is the block at off, or nil.
func (c *cache) get(off int64) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byOff[off]
	if e == nil {
		return nil
	}
	c.recent.MoveToFront(e)
	return e.Value.(*cached).data
}

// put adds a block, unless somebody was faster, and returns the one to use. The
// last block stays even when it alone is over the budget.
func (c *cache) put(off int64, data []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.byOff[off]; e != nil {
		return e.Value.(*cached).data
	}
	c.byOff[off] = c.recent.PushFront(&cached{off, data})
	c.used += int64(len(data))
	for c.used > c.budget && c.recent.Len() > 1 {
		c.remove(c.recent.Back())
	}
	return data
}

// drop forgets the block at off.
func (c *cache) drop(off int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.byOff[off]; e != nil {
		c.remove(e)
	}
}

func (c *cache) remove(e *list.Element) {
	v := c.recent.Remove(e).(*cached)
	delete(c.byOff, v.off)
	c.used -= int64(len(v.data))
}
