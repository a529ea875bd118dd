package xfs

import "slices"

// putTarget puts the target of a symbolic link into blocks: in version 5 one header
// for each run of them.
func (e *editor) putTarget(in *inode, target string) error {
	v := e.v
	room := int(v.blockSize)
	if v.v5() {
		room -= remoteHeader
	}
	runs, err := e.space.allocate(forkOwner(in, false, false), 0, uint64((len(target)+room-1)/room))
	if err != nil {
		return err
	}
	runs = v.mergeRuns(slices.Clone(runs))
	if err := e.setMap(in, false, &holding{}, runs); err != nil {
		return err
	}
	for done, i := 0, 0; i < len(runs); i++ {
		raw := make([]byte, int64(runs[i].count)<<v.blockBits)
		body := raw
		if v.v5() {
			body = raw[remoteHeader:]
		}
		n := copy(body, target[done:])
		if v.v5() {
			putRemoteHeader(raw, symlinkMagic, done, n)
		}
		if err := e.putRun(in, runs, runs[i].logical, raw, remoteStamp); err != nil {
			return err
		}
		done += n
	}
	return nil
}

// putRemoteHeader says what bytes of a text follow.
func putRemoteHeader(raw []byte, magic uint32, start, n int) {
	be.PutUint32(raw, magic)
	be.PutUint32(raw[4:], uint32(start))
	be.PutUint32(raw[8:], uint32(n))
}
