DROP TABLE trusts;
