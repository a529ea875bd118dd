package main

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/vmconv/vmconv/pkg/fsedit/volume"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// The exit codes, as README.md documents them.
const (
	exitOK          = 0
	exitNo          = 1 // the answer is no
	exitUsage       = 2
	exitUnsupported = 3 // not supported, or blocked by a policy or a failed check
	exitCorrupt     = 4
	exitKey         = 5 // a key is needed or wrong
	exitSpace       = 6
	exitIO          = 7 // reading or writing failed, and anything else
	exitAmbiguous   = 8 // several answers: choose one
	exitInUse       = 9 // retry later
)

// usageError is a mistake on the command line.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// errNo is the answer no: it is not printed as a failure.
var errNo = errors.New("no")

// exitCodes are tried in this order: the more telling sentinel first.
var exitCodes = []struct {
	is   error
	code int
}{
	{errNo, exitNo},
	{ondisk.ErrInUse, exitInUse},
	{ondisk.ErrAmbiguous, exitAmbiguous},
	{ondisk.ErrNoSpace, exitSpace},
	{syscall.ENOSPC, exitSpace},
	{syscall.EDQUOT, exitSpace},
	{ondisk.ErrEncrypted, exitKey},
	{ondisk.ErrCorrupt, exitCorrupt},
	{ondisk.ErrTooBig, exitUnsupported},
	{ondisk.ErrUnsupported, exitUnsupported},
	{ondisk.ErrBlocked, exitUnsupported},
	{ondisk.ErrReadOnly, exitUnsupported},
	{ondisk.ErrFormat, exitUnsupported},
}

func exitCode(err error) int {
	var usage *usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	for _, c := range exitCodes {
		if errors.Is(err, c.is) {
			return c.code
		}
	}
	return exitIO
}

// hint is what to do about an error, where that can be said in general.
func hint(err error) string {
	var locked *volume.KeyError
	switch {
	case errors.As(err, &locked):
		return fmt.Sprintf("give its key: --key %s:key:PASSPHRASE or --key %[1]s:file:PATH", locked.ID)
	case errors.Is(err, ondisk.ErrInUse):
		return "shut the guest down, or wait, and run it again"
	case errors.Is(err, ondisk.ErrEncrypted):
		return "decrypt it first: this kind of encryption cannot be opened yet"
	case errors.Is(err, fs.ErrPermission):
		return "check the permissions of the file and of its folder"
	case errors.Is(err, fs.ErrExist):
		return "choose another name; convert replaces outputs with --overwrite"
	case errors.Is(err, syscall.ENOSPC):
		return "free some space, or write elsewhere with -o"
	}
	return ""
}
