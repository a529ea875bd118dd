package main

import (
	"strings"

	"github.com/spf13/pflag"
)

// imageVariable stands in for SOURCE in commands that only read.
const imageVariable = "VMCONV_IMAGE"

// imageFlags choose the machine that a command works on.
type imageFlags struct {
	disks    []string // -a
	format   string   // -f
	root     string   // --root
	machine  string   // --vm
	disk     int      // --disk, from 1; 0 is the only one
	mounts   []string // -m
	keys     keyFlags
	external bool   // --allow-external
	spool    string // folder for streams; "" where big temporary files go
}

func (f *imageFlags) register(set *pflag.FlagSet) {
	set.StringArrayVarP(&f.disks, "add", "a", nil, "a `DISK` of the machine, in order; arguments are then guest paths")
	set.StringVarP(&f.format, "format", "f", "", "input `FORMAT`; without it the image is probed")
	set.StringVar(&f.root, "root", "", "which system, by its root's `DEV` or UUID, where a disk holds several")
	f.registerMachine(set)
	set.StringArrayVarP(&f.mounts, "mount", "m", nil, "use filesystem `DEV[:/MNT]` and look for no system")
	f.keys.register(set)
	f.registerExternal(set)
}

func (f *imageFlags) registerMachine(set *pflag.FlagSet) {
	set.StringVar(&f.machine, "vm", "", "which machine, by `NAME`, where a description holds several")
}

func (f *imageFlags) registerExternal(set *pflag.FlagSet) {
	set.BoolVar(&f.external, "allow-external", false, "open backing and data files outside the image's own folder")
}

// guestPath takes the forms that tell a path of the guest from one of the host:
// "/x", ":/x" and, for Windows guests, "C:\x".
func guestPath(arg string) (string, bool) {
	switch {
	case strings.HasPrefix(arg, "/"):
		return arg, true
	case strings.HasPrefix(arg, ":/"):
		return arg[1:], true
	case len(arg) >= 3 && arg[1] == ':' && arg[2] == '\\':
		return arg, true
	}
	return "", false
}

// split tells the disks of the machine from the guest paths among the
// arguments: -a gives the disks, or VMCONV_IMAGE does where it may, or the first
// argument is the image.
func (a *app) split(f *imageFlags, args []string, mayUseVariable bool) (disks, paths []string, err error) {
	image, fromVariable := a.lookup(imageVariable)
	switch {
	case len(f.disks) > 0:
		disks = f.disks
	case mayUseVariable && fromVariable && image != "":
		disks = []string{image}
	case len(args) == 0:
		return nil, nil, usagef("which image? give it first, by -a, or in %s", imageVariable)
	default:
		disks, args = args[:1], args[1:]
	}
	for _, arg := range args {
		p, ok := guestPath(arg)
		switch {
		case ok:
			paths = append(paths, p)
		case len(f.disks) > 0:
			return nil, nil, usagef("%q is not a guest path: with -a every argument is one, and begins with /", arg)
		case fromVariable && mayUseVariable && image != "":
			return nil, nil, usagef("%q is not a guest path, and %s=%s already names the image; unset it to name another", arg, imageVariable, image)
		default:
			return nil, nil, usagef("%q is not a guest path: it has to begin with /", arg)
		}
	}
	return disks, paths, nil
}
