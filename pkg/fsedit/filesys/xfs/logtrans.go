package xfs

import (
	"context"
	"errors"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// logItem is one logged object: a description, and the bytes that go with it.
type logItem struct {
	want    int // regions
	regions [][]byte
}

// kind is the type of an item.
func (it *logItem) kind() uint16 { return le.Uint16(it.regions[0]) }

// region is one that a description says to exist.
func (it *logItem) region(i int) ([]byte, bool) {
	if i >= len(it.regions) {
		return nil, false
	}
	return it.regions[i], true
}

// transaction is what is known of one that is not committed yet.
type transaction struct {
	lsn    lsn // of the record that it starts in
	header []byte
	items  []*logItem
	bytes  int64
}

// logReader gathers transactions from records, and hands over those that are
// committed, in the order of their commits.
type logReader struct {
	log    *xlog
	open   map[uint32]*transaction
	bytes  int64 // held by open transactions
	commit func(*transaction) error
}

// pass reads all records from tail to head.
func (l *xlog) pass(ctx context.Context, s *logState, commit func(*transaction) error) error {
	r := &logReader{log: l, open: map[uint32]*transaction{}, commit: commit}
	pos := s.tail
	for left := l.distance(s.tail, s.head); left > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := l.headAt(pos)
		if err != nil {
			return err
		}
		if err := l.ours(h); err != nil {
			return err
		}
		body, err := l.body(h)
		if err != nil {
			return err
		}
		if err := r.record(h, body); err != nil {
			return err
		}
		n := h.headers + h.blocks
		pos, left = l.wrap(pos+n), left-n
	}
	return nil
}

// settleTail moves the tail behind records that the head has begun to write
// over, which happens only just behind it, and reads all others. begin gives what
// takes the transactions, anew for each try.
func (l *xlog) settleTail(ctx context.Context, s *logState, begin func() func(*transaction) error) error {
	for {
		first, err := l.from(s.tail, l.distance(s.tail, s.head))
		if err != nil {
			return err
		}
		s.tail = first
		err = l.pass(ctx, s, begin())
		if !errors.Is(err, errTorn) {
			return err
		}
		var e *ondisk.Error
		if !errors.As(err, &e) {
			return err
		}
		bad := (e.Off - l.off) >> logBlockBits
		if l.distance(s.head, bad) > logMaxFlying*logMaxRecord>>logBlockBits || l.distance(bad, s.head) <= 1 {
			return err
		}
		s.tail = l.wrap(bad + 1)
	}
}

// from finds the first record in n blocks from pos on.
func (l *xlog) from(pos, n int64) (int64, error) {
	for i := range n {
		p, err := l.read(pos+i, 1)
		if err != nil {
			return 0, err
		}
		if be.Uint32(p) == logMagic {
			return l.wrap(pos + i), nil
		}
	}
	return 0, l.at(pos).Corrupt("there is no record between the ends of the log")
}

// record takes the operations of one record.
func (r *logReader) record(h *recordHead, body []byte) error {
	at := r.log.at(h.pos)
	for i := range h.ops {
		if len(body) < opHeader {
			return at.Corrupt("operation %d of %d is cut off", i, h.ops)
		}
		tid, n, flags := be.Uint32(body), be.Uint32(body[4:]), body[opFlagsAt]
		if client := body[8]; client != clientTrans && client != clientLog {
			return at.Corrupt("operation %d is of client %#x", i, client)
		}
		if int64(n) > int64(len(body)-opHeader) {
			return at.Corrupt("operation %d has %d bytes", i, n)
		}
		if err := r.operation(tid, flags, body[opHeader:][:n:n], h, at); err != nil {
			return err
		}
		body = body[opHeader+n:]
	}
	return nil
}

// operation adds one operation to its transaction. One whose start lies before
// the tail is on its place already.
func (r *logReader) operation(tid uint32, flags uint8, p []byte, h *recordHead, at ondisk.Place) error {
	t := r.open[tid]
	if t == nil {
		if flags&opStart != 0 {
			r.open[tid] = &transaction{lsn: h.lsn}
			return r.spend(nil, transHeader, at)
		}
		return nil
	}
	flags &^= opEnd
	if flags&opWasCont != 0 {
		flags &^= opContinue
	}
	switch flags {
	case 0, opContinue:
		return r.add(t, p, at)
	case opWasCont:
		return r.extend(t, p, at)
	case opCommit:
		delete(r.open, tid)
		r.bytes -= t.bytes + transHeader
		if err := t.check(at); err != nil {
			return err
		}
		return r.commit(t)
	case opUnmount:
		delete(r.open, tid)
		r.bytes -= t.bytes + transHeader
		return nil
	}
	return at.Corrupt("an operation with flags %#x", flags)
}

// spend bounds what transactions without an end may hold.
func (r *logReader) spend(t *transaction, n int, at ondisk.Place) error {
	const region = 64 // of bookkeeping
	cost := int64(n)
	if t != nil {
		cost += region
		t.bytes += cost
	}
	if r.bytes += cost; r.bytes > 4*r.log.v.limits.Table {
		return at.TooBig("transactions of more than %d bytes", 4*r.log.v.limits.Table)
	}
	return nil
}

// add begins a region: of the transaction's header, of a new item, or of the last.
func (r *logReader) add(t *transaction, p []byte, at ondisk.Place) error {
	if len(p) == 0 {
		return nil
	}
	if err := r.spend(t, len(p), at); err != nil {
		return err
	}
	if len(t.header) == 0 {
		if len(p) < 4 || len(p) > transHeader || le.Uint32(p) != transMagic {
			return at.Corrupt("a transaction without a header")
		}
		t.header = p
		return nil
	}
	if len(t.items) == 0 || t.last().full() {
		if len(p) < 4 {
			return at.Corrupt("an item of %d bytes", len(p))
		}
		n := int(le.Uint16(p[2:]))
		if n == 0 || n > maxRegions {
			return at.Corrupt("an item of %d regions", n)
		}
		t.items = append(t.items, &logItem{want: n})
	}
	it := t.last()
	it.regions = append(it.regions, p)
	return nil
}

func (t *transaction) last() *logItem { return t.items[len(t.items)-1] }
func (it *logItem) full() bool        { return len(it.regions) == it.want }

// extend continues the region that the record before ended in.
func (r *logReader) extend(t *transaction, p []byte, at ondisk.Place) error {
	if err := r.spend(t, len(p), at); err != nil {
		return err
	}
	if len(t.items) == 0 {
		if len(t.header)+len(p) > transHeader {
			return at.Corrupt("a transaction header of %d bytes", len(t.header)+len(p))
		}
		t.header = append(t.header[:len(t.header):len(t.header)], p...)
		return nil
	}
	it := t.last()
	if len(it.regions) == 0 {
		return at.Corrupt("an item continues that has not begun")
	}
	last := &it.regions[len(it.regions)-1]
	*last = append((*last)[:len(*last):len(*last)], p...)
	return nil
}

// check refuses items that a commit has cut off.
func (t *transaction) check(at ondisk.Place) error {
	for _, it := range t.items {
		if !it.full() || len(it.regions[0]) < 4 {
			return at.Corrupt("an item has %d of %d regions", len(it.regions), it.want)
		}
	}
	return nil
}
