package ext

import (
	"container/list"
	"sync"
)

// blockCache holds the metadata blocks that were read last, up to a number of
// bytes. It is safe for concurrent use; the blocks in it are never changed.
type blockCache struct {
	mu    sync.Mutex
	room  int64
	order *list.List // of cachedBlock, most recent first
	index map[uint64]*list.Element
}

type cachedBlock struct {
	nr  uint64
	raw []byte
}

func newBlockCache(room int64) *blockCache {
	return &blockCache{room: room, order: list.New(), index: map[uint64]*list.Element{}}
}

func (c *blockCache) get(nr uint64) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.index[nr]
	if e == nil {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(cachedBlock).raw
}

func (c *blockCache) put(nr uint64, raw []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.index[nr] != nil {
		return
	}
	c.index[nr] = c.order.PushFront(cachedBlock{nr, raw})
	c.room -= int64(len(raw))
	for c.room < 0 && c.order.Len() > 1 {
		old := c.order.Remove(c.order.Back()).(cachedBlock)
		delete(c.index, old.nr)
		c.room += int64(len(old.raw))
	}
}

// forget drops one block.
func (c *blockCache) forget(nr uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.index[nr]; e != nil {
		c.order.Remove(e)
		delete(c.index, nr)
		c.room += int64(len(e.Value.(cachedBlock).raw))
	}
}

func (c *blockCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := c.order.Front(); e != nil; e = e.Next() {
		c.room += int64(len(e.Value.(cachedBlock).raw))
	}
	c.order.Init()
	clear(c.index)
}
