package ondisk

import "testing"

func TestBlockCache(t *testing.T) {
	c := NewBlockCache[uint64](3)
	for key := range uint64(4) {
		c.Put(key, []byte{byte(key)})
		c.Get(1) // stays in use, once it is there
	}
	if c.Get(0) != nil || c.Get(1) == nil || c.Get(3) == nil {
		t.Error("the block that was not used for longest has to go")
	}
	first := []byte{9}
	c.Put(9, first)
	if got := c.Put(9, []byte{8}); &got[0] != &first[0] {
		t.Error("the first block put under a key stays")
	}
	c.Drop(9)
	if c.Get(9) != nil {
		t.Error("a dropped block is still there")
	}
	c.Put(5, make([]byte, 100))
	if c.Get(5) == nil || c.Get(1) != nil {
		t.Error("one block stays, even over the budget, and all others go")
	}
	c.Clear()
	if c.Get(5) != nil || c.used != 0 {
		t.Error("Clear left something")
	}
}
