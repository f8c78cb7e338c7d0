// Omniboard has no option for the address that it listens on and takes all of them; with `node -r` this keeps it here.
const net = require('net');
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (port, ...rest) {
  if (/^\d+$/.test(String(port)) && typeof rest[0] !== 'string') rest.unshift('127.0.0.1');
  return listen.call(this, port, ...rest);
};
