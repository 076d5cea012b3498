# Chroma behind a proxy that makes it worse: FAULT is start, probe, slow or wrong. The image has perl-base, and not all of Python.
# With format-1 and format-2 it is a good release; the second one writes a format that the first one can't read.
use strict;
use warnings;
use IO::Socket::INET;

my $fault = $ENV{FAULT};
die "This release does not start.\n" if $fault eq 'start';

if ($fault =~ /^format-(\d)/ and open my $database, '+<:raw', '/data/chroma.sqlite3') {
    my ($mine, $bytes) = ($1);
    seek $database, 60, 0;    # user_version
    read $database, $bytes, 4;
    my $format = unpack 'N', $bytes;
    die "The data has format $format, and this release reads $mine.\n" if $format > $mine;
    seek $database, 60, 0;
    print $database pack 'N', $mine if $mine > 1;
    close $database;
}
open my $given, '<', '/config.yaml' or die;
open my $own, '>', '/tmp/config.yaml' or die;
while (<$given>) { s/^port: 8000/port: 8001/; print $own $_ }
close $own;
if (!fork) { exec 'chroma', 'run', '/tmp/config.yaml' or die }
until (IO::Socket::INET->new('127.0.0.1:8001')) { select undef, undef, undef, 0.05 }

# One request of a connection, and its answer.
sub hand_on {
    my ($client) = @_;
    my ($head, $length, $body) = ('', 0, '');
    while (my $line = <$client>) {
        last if $line eq "\r\n";
        $length = $1 if $line =~ /^content-length:\s*(\d+)/i;
        $head .= $line unless $line =~ /^(content-length|connection):/i;
    }
    read $client, $body, $length if $length;
    $body =~ s/"n_results":\s*\d+/"n_results": 1/ if $fault eq 'wrong';
    sleep 1 if $fault eq 'slow' and $head =~ m{^\S+ \S+/query};
    if ($fault eq 'probe' and $head =~ m{^\S+ \S+/get} and $body =~ /embeddings/) {
        my $said = '{"error":"InternalError","message":"a segment is missing"}';
        print $client "HTTP/1.1 500 Internal Server Error\r\nContent-Length: ", length $said, "\r\nConnection: close\r\n\r\n$said";
        return;
    }
    my $chroma = IO::Socket::INET->new('127.0.0.1:8001') or return;
    print $chroma $head, 'Content-Length: ', length $body, "\r\nConnection: close\r\n\r\n$body";
    while (sysread $chroma, my $part, 65536) { print $client $part }
}

$SIG{CHLD} = 'IGNORE';
my $server = IO::Socket::INET->new(LocalPort => 8000, Listen => 128, ReuseAddr => 1) or die;
while (my $client = $server->accept) {
    if (!fork) { hand_on($client); exit }
    close $client;
}
