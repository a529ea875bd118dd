package xfs

import "github.com/vmconv/vmconv/pkg/imagefmt/ondisk"

// endRecovery does what the kernel does when it has recovered the log.
func (e *editor) endRecovery() error {
	if err := e.freeOrphans(); err != nil {
		return err
	}
	return e.space.dropCopies()
}

// freeOrphans frees the files that were deleted while open.
func (e *editor) freeOrphans() error {
	for ag := range e.v.agCount {
		i, at, err := e.v.agi(ag)
		if err != nil {
			return err
		}
		changed := false
		for _, head := range i.Unlinked {
			if head == nullAGIno {
				continue
			}
			changed = true
			if err := e.freeChain(ag, head, at); err != nil {
				return err
			}
		}
		if changed {
			if err := e.clearBuckets(ag); err != nil {
				return err
			}
		}
	}
	return nil
}

// freeChain frees the inodes of one list.
func (e *editor) freeChain(ag, agino uint32, at ondisk.Place) error {
	for seen := map[uint32]bool{}; agino != nullAGIno; {
		num := e.v.inodeNumber(ag, agino)
		if seen[agino] || !e.v.inodeOK(num) || e.v.reserved(num) {
			return at.Corrupt("the list of unlinked inodes names %d", agino)
		}
		seen[agino] = true
		in, err := e.private(num)
		if err != nil {
			return err
		}
		if in.links() != 0 {
			return in.at().Corrupt("it is on the list of unlinked inodes, and has %d links", in.links())
		}
		agino = in.NextUnlinked
		if err := e.release(in); err != nil {
			return err
		}
	}
	return nil
}

// clearBuckets empties the lists of an AG.
func (e *editor) clearBuckets(ag uint32) error {
	raw, _, err := e.v.agHeader(ag, agiSector, "AGI")
	if err != nil {
		return err
	}
	const buckets = 40
	for i := range unlinkedBuckets {
		be.PutUint32(raw[buckets+i*4:], nullAGIno)
	}
	if e.v.v5() {
		agiStamp.seal(raw)
	}
	return e.stage.Patch(e.v.agSector(ag, agiSector), raw)
}
