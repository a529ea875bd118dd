package ondisk

import (
	"container/list"
	"sync"
)

// BlockCache keeps the most recently used blocks of an image or filesystem, by
// number or by offset, within a budget of bytes. It is safe for concurrent use;
// what it holds is shared and must not be changed while others may read it.
type BlockCache[K ~int64 | ~uint64] struct {
	mu     sync.Mutex
	budget int64
	used   int64
	recent *list.List // of cachedBlock, most recent first
	index  map[K]*list.Element
}

type cachedBlock[K ~int64 | ~uint64] struct {
	key  K
	data []byte
}

// NewBlockCache holds at most budget bytes, but always one block.
func NewBlockCache[K ~int64 | ~uint64](budget int64) *BlockCache[K] {
	return &BlockCache[K]{budget: budget, recent: list.New(), index: map[K]*list.Element{}}
}

// Get is the block of a key, or nil.
func (c *BlockCache[K]) Get(key K) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.index[key]
	if e == nil {
		return nil
	}
	c.recent.MoveToFront(e)
	return e.Value.(cachedBlock[K]).data
}

// Put adds a block, unless somebody was faster, and returns the one to use.
func (c *BlockCache[K]) Put(key K, data []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.index[key]; e != nil {
		return e.Value.(cachedBlock[K]).data
	}
	c.index[key] = c.recent.PushFront(cachedBlock[K]{key, data})
	c.used += int64(len(data))
	for c.used > c.budget && c.recent.Len() > 1 {
		c.remove(c.recent.Back())
	}
	return data
}

// Drop forgets the block of a key.
func (c *BlockCache[K]) Drop(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.index[key]; e != nil {
		c.remove(e)
	}
}

// Clear forgets all blocks.
func (c *BlockCache[K]) Clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.recent.Init()
	clear(c.index)
	c.used = 0
}

func (c *BlockCache[K]) remove(e *list.Element) {
	b := c.recent.Remove(e).(cachedBlock[K])
	delete(c.index, b.key)
	c.used -= int64(len(b.data))
}
