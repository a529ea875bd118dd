// Package filesys holds the contracts of guest filesystems: how one is
// recognised, read, edited and asked for its free space. Each filesystem is a
// folder below; package drivers lists them.
//
// A filesystem is addressed by nodes, as inodes are: paths, mount points and
// symbolic links belong to package guest, which joins the filesystems of one
// guest into its tree. Names are byte strings as Linux allows them: anything
// but "/" and NUL.
package filesys
