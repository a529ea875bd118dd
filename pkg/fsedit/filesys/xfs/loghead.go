package xfs

import (
	"context"
	"errors"
	"sort"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// logState is what a log holds between tail and head.
type logState struct {
	clean bool
	head  int64       // the block that would be written next
	tail  int64       // the first record that may not be on its place yet
	last  *recordHead // the record before head
}

// state finds head and tail as a mount does: where cycle numbers fall, but not
// behind records that did not reach the disk whole.
func (l *xlog) state(ctx context.Context) (*logState, error) {
	head, stop, err := l.findFall()
	if err != nil {
		return nil, err
	}
	if head < 0 {
		return &logState{clean: true}, nil // nothing was ever written
	}
	if s, err := l.cleanEnd(head); s != nil || err != nil {
		return s, err
	}
	if head, err = l.skipHoles(head, stop); err != nil {
		return nil, err
	}
	last, err := l.before(head, logMaxRecord>>logBlockBits+logMaxFlying)
	if err != nil {
		return nil, err
	}
	if l.wrap(last.end()) != l.wrap(head) {
		head = last.pos // it points into the middle of a record
	}
	return l.wholeEnd(ctx, l.wrap(head))
}

// findFall is the first block that is of the round before; -1 in a log that was
// never written. stop is the cycle that a block before it must not have.
func (l *xlog) findFall() (head int64, stop uint32, err error) {
	first, err := l.cycle(0)
	if err != nil || first == 0 {
		return -1, 0, err
	}
	last, err := l.cycle(l.size - 1)
	if err != nil {
		return 0, 0, err
	}
	if first == last {
		return l.size, last - 1, nil
	}
	n := sort.Search(int(l.size-1), func(i int) bool {
		c, e := l.cycle(int64(i))
		if e != nil {
			err = e
		}
		return c == last
	})
	return int64(n), last, err
}

// cleanEnd reports that an unmount is the last thing in a log that ends at head;
// nil when it is not.
func (l *xlog) cleanEnd(head int64) (*logState, error) {
	h, err := l.before(head, logMaxRecord>>logBlockBits+logMaxFlying)
	if errors.Is(err, ondisk.ErrCorrupt) {
		return nil, nil
	}
	if err != nil || l.wrap(h.end()) != l.wrap(head) {
		return nil, err
	}
	clean, err := l.unmount(h)
	if err != nil || !clean {
		return nil, err
	}
	return &logState{clean: true, head: l.wrap(head), tail: l.wrap(head), last: h}, nil
}

// unmount reports whether a record is the one that an unmount leaves.
func (l *xlog) unmount(h *recordHead) (bool, error) {
	if h.ops != 1 || h.blocks == 0 {
		return false, nil
	}
	p, err := l.read(h.pos+h.headers, 1)
	if err != nil {
		return false, err
	}
	return p[opFlagsAt]&opUnmount != 0, nil
}

// before finds the last record that starts within n blocks before pos.
func (l *xlog) before(pos, n int64) (*recordHead, error) {
	const step = 64
	n = min(n, l.size)
	for done := int64(0); done < n; {
		count := min(step, n-done)
		start := pos - done - count
		if start < 0 {
			start += l.size
		}
		p, err := l.read(start, count)
		if err != nil {
			return nil, err
		}
		for i := count - 1; i >= 0; i-- {
			if block := p[i<<logBlockBits:][:logBlock]; be.Uint32(block) == logMagic {
				return l.head(l.wrap(start+i), block)
			}
		}
		done += count
	}
	return nil, l.at(l.wrap(pos)).Corrupt("there is no record before the end of the log")
}

// skipHoles moves head back to the first block before it that was not written
// while later ones were: records go to the disk side by side.
func (l *xlog) skipHoles(head int64, stop uint32) (int64, error) {
	n := min(l.size, logMaxFlying*logMaxRecord>>logBlockBits)
	if head < n && stop != 0 { // the end of the ring is one round older
		if hole, err := l.firstWith(l.size-(n-head), n-head, stop-1); err != nil || hole >= 0 {
			return hole, err
		}
	}
	start := max(0, head-n)
	hole, err := l.firstWith(start, head-start, stop)
	if err != nil || hole < 0 {
		return head, err
	}
	return hole, nil
}

// firstWith is the first of n blocks from pos on that has a cycle, or -1.
func (l *xlog) firstWith(pos, n int64, cycle uint32) (int64, error) {
	p, err := l.read(pos, n)
	if err != nil {
		return 0, err
	}
	for i := range n {
		if cycleOf(p[i<<logBlockBits:]) == cycle {
			return pos + i, nil
		}
	}
	return -1, nil
}

// wholeEnd verifies the last records, and ends the log before the first that is
// torn.
func (l *xlog) wholeEnd(ctx context.Context, head int64) (*logState, error) {
	var recent []*recordHead
	for pos := head; len(recent) <= logMaxFlying; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		h, err := l.before(pos, logMaxRecord>>logBlockBits+logMaxFlying)
		if err != nil || len(recent) > 0 && l.distance(h.pos, head) <= l.distance(recent[len(recent)-1].pos, head) {
			break
		}
		recent = append(recent, h)
		if pos = h.pos; pos == l.wrap(recent[0].tail.block()) {
			break
		}
	}
	for i := len(recent) - 1; i >= 0; i-- {
		_, err := l.body(recent[i])
		if errors.Is(err, errTorn) {
			head = recent[i].pos
			recent = recent[i+1:]
			break
		}
		if err != nil {
			return nil, err
		}
	}
	if len(recent) == 0 {
		return nil, l.at(head).Corrupt("no whole record before the end of the log")
	}
	return l.endAfter(recent[0], head)
}

// endAfter is the state of a log whose last whole record is h.
func (l *xlog) endAfter(h *recordHead, head int64) (*logState, error) {
	s := &logState{head: head, tail: h.tail.block(), last: h}
	if s.tail >= l.size || h.tail > h.lsn {
		return nil, l.at(h.pos).Corrupt("the log starts at %d:%d, behind its end", h.tail.cycle(), h.tail.block())
	}
	clean, err := l.unmount(h)
	if clean && l.wrap(h.end()) == head {
		s.clean, s.tail = true, head
	}
	return s, err
}
