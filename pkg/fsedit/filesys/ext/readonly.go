package ext

import (
	"fmt"
	"strings"
)

// readOnly says why the volume cannot be edited; empty when it can.
func (v *volume) readOnly() string {
	s := v.super()
	switch names := v.withPolicy(read); {
	case len(names) > 0:
		return "feature " + strings.Join(names, ", ") + " cannot be edited"
	case s.State&stateErrors != 0:
		return "it is marked as having errors; run e2fsck in the guest"
	case s.needsRecovery():
		return "its journal was not replayed"
	case v.hasCompat(fcHasJournal) && s.JournalInode == 0:
		return "its journal is on another device"
	case v.hasIncompat(fiMMP):
		return v.mmpInUse()
	}
	return ""
}

// mmpInUse says who holds the multiple mount protection of a volume.
func (v *volume) mmpInUse() string {
	block, err := v.readBlock(v.super().MMPBlock)
	if err != nil {
		return "its multiple mount protection cannot be read: " + err.Error()
	}
	if v.checksums() && mmpSum(v.seed, block) != le.Uint32(block[1020:]) {
		return "the checksum of its multiple mount protection is wrong"
	}
	if magic, seq := le.Uint32(block), le.Uint32(block[4:]); magic != mmpMagic || seq != mmpClean {
		return fmt.Sprintf("multiple mount protection says that it is in use (sequence %#x)", seq)
	}
	return ""
}
