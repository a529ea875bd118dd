package xfs

import (
	"context"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// logReplay brings what is committed in the log to its place.
type logReplay struct {
	log      *xlog
	v        *volume
	dev      blockdev.Writable
	now      lsn // of the transaction that is replayed
	cancels  map[bufKey]int
	intents  map[intent]bool
	quotaOff uint8 // types of quotas that were turned off
}

// bufKey names a buffer: its first disk address and its length, in 512 bytes.
type bufKey struct{ blkno, len int64 }

// intent names something that was promised: an extent to free, a mapping to
// change. done says whether it came to pass.
type intent struct {
	kind uint16
	id   uint64
}

// intentOf reports whether an item is an intent or the end of one. Each kind has
// an even number for the promise, and the one after it for its end.
func intentOf(kind uint16) (promise uint16, isDone, ok bool) {
	if kind == itemEFI || kind == itemEFD || kind >= itemRUI && kind <= itemLast {
		return kind &^ 1, kind&1 != 0, true
	}
	return 0, false, false
}

// intentNames are what the promises are called in messages.
var intentNames = map[uint16]string{
	itemEFI: "extents to free", itemRUI: "reverse mappings", itemCUI: "reference counts", itemBUI: "mappings",
	itemATTRI: "attributes", itemXMI: "exchanges of mappings",
	itemEFIrt: "realtime extents to free", itemRUIrt: "realtime reverse mappings", itemCUIrt: "realtime reference counts",
}

func (r *logReplay) at() ondisk.Place {
	return ondisk.At(layer, "log", r.log.off).In("transaction %d:%d", r.now.cycle(), r.now.block())
}

// run reads the log twice: what a transaction frees must be known before the
// first one is replayed.
func (r *logReplay) run(ctx context.Context, s *logState) error {
	err := r.log.settleTail(ctx, s, func() func(*transaction) error {
		r.cancels, r.intents, r.quotaOff = map[bufKey]int{}, map[intent]bool{}, 0
		return r.collect
	})
	if err != nil {
		return err
	}
	return r.log.pass(ctx, s, r.apply)
}

// collect is the first pass: buffers that were freed, promises, quotas that
// were turned off.
func (r *logReplay) collect(t *transaction) error {
	r.now = t.lsn
	for _, it := range t.items {
		var err error
		if kind := it.kind(); kind == itemBuf {
			err = r.collectCancel(it)
		} else if kind == itemQuotaOff && len(it.regions[0]) >= 8 {
			r.collectQuotaOff(le.Uint32(it.regions[0][4:]))
		} else if promise, isDone, ok := intentOf(kind); ok {
			err = r.collectIntent(it, promise, isDone)
		}
		if err != nil {
			return err
		}
		if limit := r.v.limits.Table / 64; int64(len(r.cancels)+len(r.intents)) > limit {
			return r.at().TooBig("more than %d freed buffers", limit)
		}
	}
	return nil
}

func (r *logReplay) collectCancel(it *logItem) error {
	f, err := r.bufFormat(it)
	if err == nil && f.flags&bufCancel != 0 {
		r.cancels[f.bufKey]++
	}
	return err
}

func (r *logReplay) collectQuotaOff(flags uint32) {
	for flag, kind := range quotaTypes {
		if flags&flag != 0 {
			r.quotaOff |= kind
		}
	}
}

func (r *logReplay) collectIntent(it *logItem, promise uint16, isDone bool) error {
	p := it.regions[0]
	if len(p) < 16 {
		return r.at().Corrupt("an intent of %d bytes", len(p))
	}
	key := intent{promise, le.Uint64(p[8:])}
	if isDone {
		delete(r.intents, key)
	} else {
		r.intents[key] = true
	}
	return nil
}

// apply is the second pass. Buffers come before the inodes that lie in them,
// lists of deleted inodes behind, and last the buffers that are freed, after
// which they count as others again.
func (r *logReplay) apply(t *transaction) error {
	r.now = t.lsn
	var order [4][]*logItem
	for _, it := range t.items {
		at := 1
		switch it.kind() {
		case itemICreate:
			at = 0
		case itemBuf:
			f, err := r.bufFormat(it)
			if err != nil {
				return err
			}
			switch {
			case f.flags&bufCancel != 0:
				at = 3
			case f.flags&bufInode != 0:
				at = 2
			default:
				at = 0
			}
		}
		order[at] = append(order[at], it)
	}
	for _, list := range order {
		for _, it := range list {
			if err := r.item(it); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *logReplay) item(it *logItem) error {
	switch kind := it.kind(); kind {
	case itemBuf:
		return r.buffer(it)
	case itemInode:
		return r.inode(it)
	case itemICreate:
		return r.create(it)
	case itemDquot:
		return r.dquot(it)
	case itemQuotaOff:
		return nil
	default:
		if _, _, ok := intentOf(kind); ok {
			return nil
		}
		return r.at().Unsupported("an item of type %#x", kind)
	}
}

// load reads what an item changes. The log itself is out of bounds.
func (r *logReplay) load(k bufKey) (p []byte, off int64, err error) {
	const most = 1 << 16 // as many as an item can say
	if k.blkno < 0 || k.len <= 0 || k.len > most || k.blkno > r.dev.Size()>>daddrBits {
		return nil, 0, r.at().Corrupt("a buffer of %d blocks at %d", k.len, k.blkno)
	}
	off = k.blkno << daddrBits
	n := k.len << daddrBits
	if !ondisk.InRange(off, n, r.dev.Size()) || off < r.log.off+r.log.size<<logBlockBits && r.log.off < off+n {
		return nil, 0, r.at().Corrupt("a buffer of %d blocks at %d", k.len, k.blkno)
	}
	p, err = ondisk.Bytes(r.dev, off, n)
	return p, off, r.at().Wrap(err)
}

func (r *logReplay) store(p []byte, off int64) error {
	_, err := r.dev.WriteAt(p, off)
	return r.at().Wrap(err)
}
