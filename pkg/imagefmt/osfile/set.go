package osfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Set is outputs that belong together: the disks of a machine, the parts of a
// split image, the description. They get their names together or not at all.
// One goroutine calls its methods.
type Set struct {
	outputs []*Output
	ended   bool
}

func NewSet() *Set { return &Set{} }

// Create starts one more output.
func (s *Set) Create(path string, o CreateOptions) (*Output, error) {
	if s.ended {
		return nil, fmt.Errorf("%s: %w", path, errSetEnded)
	}
	info, err := o.check(path)
	if err != nil {
		return nil, err
	}
	for _, other := range s.outputs {
		if absolute(other.path) == absolute(path) {
			return nil, exists(path)
		}
	}
	out := &Output{set: s, path: path, options: o}
	if info != nil && isBlockDevice(info) {
		out.device, err = openDevice(path, o.Overwrite)
		if err == nil {
			out.file = out.device.file
		}
	} else if out.file, err = createTemp(path, o.mode()); err == nil {
		out.temp = out.file.Name()
	}
	if err != nil {
		return nil, err
	}
	s.outputs = append(s.outputs, out)
	return out, nil
}

var errSetEnded = errors.New("osfile: the outputs were committed or aborted already")

// WriteFile adds a small file.
func (s *Set) WriteFile(path string, content []byte, o CreateOptions) error {
	out, err := s.Create(path, o)
	if err != nil {
		return err
	}
	_, err = out.WriteAt(content, 0)
	return err
}

// Commit syncs all outputs, gives them their names in the order in which they
// were created, and makes the names last. On an error none has its name, but a
// file that was overwritten by then is gone; ctx is checked before the first
// name is given.
func (s *Set) Commit(ctx context.Context) error {
	if s.ended {
		return errSetEnded
	}
	err := s.syncAll(ctx)
	placed := 0
	for err == nil && placed < len(s.outputs) {
		if o := s.outputs[placed]; o.temp != "" {
			err = o.place()
		}
		if err == nil {
			placed++
		}
	}
	if err != nil {
		for _, o := range s.outputs[:placed] {
			if o.temp != "" {
				os.Remove(o.path)
			}
		}
		return errors.Join(err, s.Abort())
	}
	s.ended = true
	return s.closeAll()
}

// syncAll makes the bytes of all outputs last.
func (s *Set) syncAll(ctx context.Context) error {
	for _, o := range s.outputs {
		err := ctx.Err()
		if err == nil && o.device != nil {
			err = o.device.finish()
		}
		if err == nil {
			err = o.file.Sync()
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// closeAll closes the files, and syncs the folders with their names.
func (s *Set) closeAll() error {
	var errs []error
	var dirs []string
	for _, o := range s.outputs {
		errs = append(errs, o.file.Close())
		if dir := filepath.Dir(o.path); o.temp != "" && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
			errs = append(errs, syncDir(dir))
		}
	}
	return errors.Join(errs...)
}

// Abort removes all outputs. A block device is left without its first bytes,
// so that nobody takes it for an image. After Commit it does nothing.
func (s *Set) Abort() error {
	if s.ended {
		return nil
	}
	s.ended = true
	var errs []error
	for _, o := range s.outputs {
		errs = append(errs, o.file.Close())
		if o.temp != "" {
			if err := os.Remove(o.temp); err != nil && !missing(err) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}
