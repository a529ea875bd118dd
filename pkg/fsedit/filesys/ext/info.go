package ext

import "github.com/vmconv/vmconv/pkg/fsedit/filesys"

func (v *volume) Info() filesys.Info {
	return filesys.Info{
		Features: v.features.names(),
		Replayed: v.replayed,
		ReadOnly: v.readOnly(),
		Notices:  append(v.stateNotices(), v.notices...),
	}
}

// stateNotices tell what fsck(8) would be run for.
func (v *volume) stateNotices() []string {
	var out []string
	s := v.super()
	if s.hasErrors() {
		out = append(out, "the guest's kernel found errors in this filesystem; run e2fsck in the guest")
	}
	if s.LastOrphan != 0 || v.hasROCompat(frOrphanPresent) {
		out = append(out, "files that were open when the guest stopped are deleted when it mounts the filesystem")
	}
	return out
}

// hasErrors reports whether the guest's kernel or fsck(8) recorded trouble.
func (s *superState) hasErrors() bool { return s.State&stateErrors != 0 || s.ErrorCount != 0 }
