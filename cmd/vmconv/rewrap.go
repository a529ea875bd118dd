package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
	"github.com/vmconv/vmconv/pkg/imagefmt/osfile"
)

// rewrap changes an image's format where it lies, for formats that are a raw
// disk with something behind or beside it. No data moves.
func (a *app) rewrap(ctx context.Context, f *convertFlags, path string) error {
	out, err := a.outputKind(f, nil)
	if err != nil {
		return err
	}
	txn := osfile.Begin(osfile.TxnOptions{})
	defer txn.Close()
	file, err := txn.File(ctx, path)
	if err != nil {
		return err
	}
	if f.image.format == "" {
		if err := onlyImages(ctx, file); err != nil {
			return err
		}
	}
	from, err := a.registry.Choose(file, f.image.format)
	if err != nil {
		return err
	}
	opts, err := a.createOptions(f, out.creator, path, path)
	if err != nil {
		return err
	}
	written := path
	raw, wrapper := from.Name() == "raw", imagefmt.Format(out.creator)
	switch to := wrapper.(type) {
	case imagefmt.RawWrapper:
		if !raw {
			return cannotRewrap(path, from, out)
		}
		err = to.WrapRaw(ctx, file, opts)
	case imagefmt.RawDescriber:
		if !raw {
			return cannotRewrap(path, from, out)
		}
		written, err = a.describeRaw(ctx, f, to, file, opts)
	default:
		back, ok := from.(imagefmt.RawWrapper)
		if !ok || out.name() != "raw" {
			return cannotRewrap(path, from, out)
		}
		err = back.UnwrapRaw(ctx, file, imagefmt.OpenOptions{})
	}
	if err == nil && !f.dryRun {
		err = txn.Commit(ctx)
	}
	if err != nil {
		return err
	}
	return a.printRewrapped(f, path, written, from, out)
}

func cannotRewrap(path string, from imagefmt.Format, to outputKind) error {
	return ondisk.Because(ondisk.ErrUnsupported, "%s is %s, which becomes %s only by a copy: leave --in-place away", path, from.Name(), to.name())
}

// describeRaw writes a descriptor beside the disk, under its name.
func (a *app) describeRaw(ctx context.Context, f *convertFlags, to imagefmt.RawDescriber, file imagefmt.File, opts imagefmt.CreateOptions) (string, error) {
	name := filepath.Join(filepath.Dir(file.Name()), machineName(file.Name())+".vmdk")
	info, err := os.Stat(file.Name())
	if err != nil {
		return name, err
	}
	set := osfile.NewSet()
	sink, err := set.Create(name, osfile.CreateOptions{Overwrite: f.overwrite, Mode: info.Mode(), Avoid: []imagefmt.Source{file}})
	if err != nil {
		return name, err
	}
	defer set.Abort()
	if err := to.DescribeRaw(ctx, sink, filepath.Base(file.Name()), file.Size(), opts); err != nil || f.dryRun {
		return name, err
	}
	return name, set.Commit(ctx)
}

func (a *app) printRewrapped(f *convertFlags, path, written string, from imagefmt.Format, to outputKind) error {
	if f.asJSON {
		return a.printJSON(struct {
			Schema  string   `json:"schema"`
			Source  []string `json:"source"`
			Outputs []string `json:"outputs"`
			From    string   `json:"from"`
			To      string   `json:"to"`
			InPlace bool     `json:"in_place"`
			DryRun  bool     `json:"dry_run,omitempty"`
		}{"vmconv.rewrap/1", []string{path}, []string{written}, from.Name(), to.name(), true, f.dryRun})
	}
	var b bytes.Buffer
	switch {
	case f.dryRun:
		fmt.Fprintf(&b, "%s would become %s; no data would move\n", path, to.name())
	case written != path:
		fmt.Fprintf(&b, "wrote %s, whose data is %s; no data was moved\n", written, path)
	default:
		fmt.Fprintf(&b, "%s is %s now; no data was moved\n", path, to.name())
	}
	_, err := a.stdout.Write(b.Bytes())
	return err
}
