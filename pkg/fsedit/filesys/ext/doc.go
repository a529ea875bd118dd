// Package ext reads and edits ext2, ext3 and ext4.
package ext
